"""The engine's errors in Python's words: `DeepSetOptions::dense_s1` is `DeepSet: dense_s1_args` in the Python package."""

import re

# Options of the engine -> what has them as arguments here.
_OWNERS = {
    "Dense": "dense layer",
    "Coupling": "coupling_settings",
    "Spline": "coupling_settings",
    "Optimizer": "optimizer",
    "LRAdjuster": "RegressionLRAdjuster",
    "EarlyStopping": "early_stopping_args",
    "MmdTest": "mmd_hypothesis_test",
    "Report": "report",
    "TrainerReport": "report",
    "Presimulate": "presimulate",
    "Online": "train_online",
    "Offline": "train_offline",
    "Stream": "train_offline",
    "Replay": "train_experience_replay",
    "Rounds": "train_rounds",
    "Presimulation": "train_from_presimulation",
    "LocalCalibration": "AmortizedPosterior.local_calibration",
    "LoadAmortizer": "load_amortizer",
    "SaveAmortizer": "AmortizedPosterior.save",
    "deep_set": "DeepSet",
    "Hierarchical": "HierarchicalNetwork",
    "Split": "SplitNetwork",
    "FlowMatching": "FlowMatchingNetwork",
    "Diffusion": "DiffusionNetwork",
    "MixtureDensity": "MixtureDensityNetwork",
    "Shortcut": "ShortcutNetwork",
    "Fusion": "FusionNetwork",
    "Graph": "SummaryNetwork",
    "StandaloneSummary": "the summary network",
    "StandaloneFlow": "InvertibleNetwork",
}
_FIELDS = {
    "conv": "conv_settings",
    "dense": "dense_args",
    "dense.activation": "dense_args: activation",
    "dense_s1": "dense_s1_args",
    "dense_s2": "dense_s2_args",
    "dense_s3": "dense_s3_args",
    "pooling": "pooling_fun",
    "spline.bins": "bins",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "summary_mmd_weight": "summary_loss_weight",
}
_SENTENCES = (
    (r"\bAdapter::(\w+)::(\w+)", r"Adapter.\1: \2"),
    (r"\bTrainerOptions::nonfinite::max_share\b", "TrainerOptions::max_dropped_share"),
    (r"\b((?:SetTransformer|TimeSeriesTransformer|SequenceNetwork)Options::(?:attention|dense|conv))::", r"\1_settings: "),
    (r"\b(TimeSeriesTransformerOptions::time_encoding)::", r"\1: "),
    (r"\b(?:NonFinite|Resume)::(\w+)", r'"\1"'),
    (r"\bStoredPrecision::(\w+)", r'precision="\1"'),
    (r"\bThreadPool: (?=threads)", ""),
    (r"give it as PointNetworkOptions::loss_fun, or as LoadAmortizerOptions::loss_fun if .*", "an amortizer of a file estimates, and is trained no further"),
    (r": give it as LoadAmortizerOptions::\w+", ": load the file in C++, with that code"),
    (r"check the code that you give as LoadAmortizerOptions, or load", "or load"),
    (r"\bGenerativeModelOptions::skip_test = true\b", "skip_test=True"),
    (r"\bx\.expand_dims\(0\)", "x[None]"),
    (r"LoadAmortizerOptions::verify = false", "verify=False"),
    (r"\btrue or false\b", "True or False"),
    (r"\b((?:flatten|as_summary_condition)(?: =| must be)) false\b", r"\1 False"),
    (r"; got true$", "; got True"),
    (r"; got false$", "; got False"),
)


def owner(name):
    """What has the arguments of an engine's class or function."""
    name = name.replace("Options", "")
    return _OWNERS.get(name, name)


def argument(field):
    return _FIELDS.get(field, field)


def in_python(text, function=""):
    """`text` with the engine's names replaced; `function` is what was called."""

    def option(match):
        field = argument(match.group(2))
        begins = text[: match.start()].endswith(": ") or match.start() == 0  # a sentence; within one the argument's name is enough
        return f"{owner(match.group(1))}: {field}" if begins else field

    for pattern, words in _SENTENCES:
        text = re.sub(pattern, words, text)
    text = re.sub(r"\b(NonFinitePolicy::|raise )max_share\b", r"\1max_share" if function == "presimulate" else r"\1max_dropped_share", text)
    text = text.replace("NonFinitePolicy::", "")
    text = re.sub(r"\bset \w+Options::(\w+) (?:to|=) ", lambda m: f"set {argument(m.group(1))} = ", text)
    text = re.sub(r"\b(\w+)Options::(\w+(?:\.\w+)?)", option, text)
    text = re.sub(r"\b(\w+)Options: ", lambda m: f"{owner(m.group(1))}: ", text)
    return re.sub(r"\b([A-Z]\w+)::([a-z]\w*)", r"\1.\2", text)
