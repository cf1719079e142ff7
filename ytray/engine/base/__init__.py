"""What every room of the engine needs: the model of a job, its arguments, its context, logs. Imports no other room."""
