"""Everything a user sees of a probe, a sweep, a run and this machine: progress views, text, plots and HTML pages.

- `progress`: the progress views for a terminal, a notebook and a log; `progress_text`: a heartbeat as one line.
- `run_text`, `probe_text`, `sweep_text`, `profile_text`, `cache_text`, `doctor_text`: one kind of record each, as text.
- `ladder_text`: the rungs that a probe tried.
- `estimate_text`: what fits other machines, as text and as a card.
- `words`: numbers, sizes, durations and verdicts as words; `tables`: tables for a terminal; `width`: how wide it is.
- `epoch_table`, `result_card`: the finished epochs while a run goes on, and its result, for a notebook.
- `classification_text`, `confusion_plot`, `prediction_text`, `export_text`: what a model says, and how good it is.
- `steady_stream`: output that may go away; `style`, `thumbnails`: the style and the small pictures of a page.
- `plots`, `sweep_plot`: the figures; `drawing`: their style, and saving as PNG or SVG; `fonts`: what draws a name.
- `data_text`, `data_page`: what was found in a data set, as text and as a page.
- `what_was_run`, `repeated_run`: parts of a run's page: what was asked for; the command and the call that repeat it.
- `run_sections`: sections of a run's page, whose head figures its card has too; `memory_plot`: memory over time.
- `page`: the HTML pages of a probe and a sweep; `run_page`: that of a run; `markup`: their elements, escaped.
"""
