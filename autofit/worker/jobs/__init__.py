"""The jobs of a worker process.

dispatch.py  reads job.json, does the job, writes outcome.json: each exception becomes a verdict
attempt.py   trains, from the newest checkpoint to the last epoch
extract.py   extracts features, and trains nothing
trial.py     runs the trials of a probe
compare.py   measures a network in float32 and in 16 bits; differences.py says how far the results are apart
predict.py   predicts images with a saved model
startup.py   what each job does first: limit the allocator, build the network
export.py    writes a saved model for another runtime
measurement.py  what one trial measures
"""
