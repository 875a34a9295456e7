"""Plot of text generation: the distribution of ROUGE-L."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import add_grid
from components.tasks.generation.labels import TextLabels
from components.tasks.generation.metrics import GenerationMetrics

NAME = "rouge"


def plot(rows: pd.DataFrame, labels: TextLabels, title: str) -> Figure:
    """Plot how many texts have which ROUGE-L."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.hist(GenerationMetrics(labels).scores(rows), bins=np.linspace(0, 1, 21).tolist())
    axis.set(title=title, xlim=(0, 1), xlabel="ROUGE-L of a text", ylabel="texts")
    add_grid(axis)
    return figure
