"""
The figures for operators: how many verdicts all processes gave, which keys are used, how fast revocations arrive.

Every process adds its numbers to the database; a report reads them there, so it is the same whichever process answers.
"""
