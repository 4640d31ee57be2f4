"""What the program is measured by: speed (`python -m bench`) and whether its weights mean anything (`bench.auc`)."""
