enum LatencyBudgetRoom {}
