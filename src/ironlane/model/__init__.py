"""The pure part: nouns, projection, diff, plan, states, attach rules, errors.

Standard library only, no input or output, no clock: time comes in as an argument. Nothing here may import another
part of Ironlane.
"""
