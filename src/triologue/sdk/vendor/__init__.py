"""What the faces of the three vendors share: their errors, their names, and their client and query over ours."""
