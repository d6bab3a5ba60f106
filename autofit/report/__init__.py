"""Everything a user sees of a probe, a sweep, a run and this machine: progress views, text, plots and HTML pages.

- `views`: the progress views for a terminal, a notebook and a log; `progress`: which one it is; `progress_text`: a
  heartbeat as one line.
- `run_text`, `probe_text`, `sweep_text`, `profile_text`, `cache_text`, `doctor_text`: one kind of record each, as text.
- `ladder_text`: the rungs that a probe tried.
- `estimate_text`: what fits other machines, as text and as a card.
- `stage_words`: the stages of a run and its epochs in them as words.
- `words`: numbers, sizes, durations and verdicts as words; `tables`: tables for a terminal; `width`: how wide it is.
- `epoch_table`, `result_card`: the finished epochs while a run goes on, and its result, for a notebook.
- `classification_text`, `confusion_plot`, `prediction_text`, `export_text`: a model's predictions and how good it is.
- `steady_stream`: output streams that may be closed; `style`, `thumbnails`: the style and small pictures of a page.
- `plots`, `sweep_plot`: the figures; `drawing`: their style, and saving as PNG or SVG; `fonts`: the fonts of names.
- `data_text`, `data_page`: what was found in a data set, as text and as a page.
- `what_was_run`, `repeated_run`: parts of a run's page: the request; the command and the call that repeat the run.
- `run_sections`: sections of a run's page; its card has the head figures, too. `memory_plot`: memory over time.
- `page`: the HTML pages of a probe and a sweep; `run_page`: that of a run; `markup`: their elements, escaped.
"""
