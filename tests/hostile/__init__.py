"""Programs written to break the compiler.

Nobody would write most of them: each puts one construct where a compiler might
get it wrong. They are short, odd and named after what they try; what counts is
that compiled execution gives what plain Python gives (`tests/differential`).
"""
