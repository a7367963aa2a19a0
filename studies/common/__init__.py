"""What the studies share: runs trained once, measures, intervals and verdicts, pages."""
