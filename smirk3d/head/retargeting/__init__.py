"""Registration of heads to each other and transfer of expressions between them."""
