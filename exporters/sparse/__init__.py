"""What exporters do with weights that hold many zeros; one file for each target."""
