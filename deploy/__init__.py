"""What runs beside and around the flows: processes, services, the deploy plan."""
