"""What the numbers mean: limits, gate and claims."""
