"""Cost of scoring with a vision-language model, against a naive loop and against the hardware.

    python benchmarks/score.py speed          # bar 5: against one row at a time with all logits, in turns
    python benchmarks/score.py signals        # what entropies, error norms and pooled states cost
    python benchmarks/score.py memory         # of the logits, all and in chunks
    python benchmarks/score.py vision         # the vision tower's part of a forward over distinct images
    python benchmarks/score.py views          # scorers that compare two views of a row, and one forward
    python benchmarks/score.py map            # bar 7: what `map` and a resumed `score` add to the forwards
    python benchmarks/score.py precision      # what dtype, attention, batch, compiling do to losses and speed
    python benchmarks/score.py throughput     # rows/s, tokens/s, TFLOP/s, share of the measured peak
        --model 7b --device cuda --dtype bfloat16 --rows 2000 --batch_tokens 32768  # bars 6 and 8, one H200

Models are LLaVA's architecture with random weights (scoring/models.py), rows are rendered
(scoring/pool.py). Everything runs on `--threads` threads, 1 unless set. CPU seconds are the process's.
docs/results/scoring.md keeps what was printed.
"""

from scoring.commands import main

if __name__ == "__main__":
    main(__doc__)
