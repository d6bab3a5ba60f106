"""One run: its plan, its attempts, and its result.

run_record.py       `run.json`, read and written
result_record.py    `result.json`
model_source.py     where a worker gets its network
memory_budget.py    the memory that a worker may use
plan.py             the training plan: sizes, caches, kernels; fine_tune_plan.py its fine-tuning (pure)
supervisor.py       the attempt loop
attempt_summary.py  what the retry policy knows of an attempt; attempt_notes.py what is recorded of it
retry_policy.py     the sizes of the next attempt, or the error that ends the run
next_attempt.py     what the retry policy is told of the run (pure)
collect_result.py   from a run directory to the content of `result.json`
time_spent.py       where a run's seconds went (pure)
memory_history.py   the memory over a run's time, from its heartbeats
asked_extraction.py an extraction whose worker is asked for one shard after another
prediction.py       predictions in a worker; warm_model.py the worker that stays for further predictions
environment.py      the machine and the software, in words
rerun.py            what another call means for an existing run (pure)
stages.py           the stages of a run and their order (pure)
stage_decision.py   decides between two stages by the time budget, and saves it; time_budget.py decides, by the
                    durations that stage_forecast.py foresees (both pure)
stage_probe.py      the probe of a later stage (pure); stage_speed.py how fast the first stage was
stage_precision.py  whether a later stage has its own comparison of precisions (pure)
what_would_help.py  the advice if not even one image fits (pure)
squeeze.py          the sizes after another program took memory of the GPU or the host (pure)
history.py          best epoch and figures of a history (pure); result_warnings.py words of warning (pure)
evaluation.py       from probabilities to figures (pure); multi_label_evaluation.py for several labels (pure)
grouped_validation.py  as how many images those of groups count for the validation's accuracy
data_findings.py    the record of problems in the data; data_check.py finds them
predicted_images.py counts by class and worst images (pure)
model_worker.py     a worker with a job on a saved model; export.py exports one
"""
