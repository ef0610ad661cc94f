"""Random portfolios under random faults and kills, and what must hold after each."""
