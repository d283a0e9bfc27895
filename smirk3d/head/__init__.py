"""Everything that depends on the topology of a head mesh."""
