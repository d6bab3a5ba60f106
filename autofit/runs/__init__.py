"""One run: what is planned for it, its attempts, and its result.

run_record.py       `run.json`, read and written
result_record.py    `result.json`
model_source.py     where a worker gets its network
memory_budget.py    the memory that a worker may use
plan.py             the training plan: sizes, caches, kernels
supervisor.py       the attempt loop
attempt_summary.py  what the retry policy knows of an attempt
retry_policy.py     the sizes of the next attempt, or the error that ends the run
collect_result.py   from a run directory to the content of `result.json`
prediction.py       predictions in a worker
"""
