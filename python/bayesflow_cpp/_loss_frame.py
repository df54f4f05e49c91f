"""Tables of losses; pandas is imported only here."""

import pandas as pd


class LossFrame(pd.DataFrame):
    """A DataFrame whose first column answers to both of v1's names: "Default.Loss" (where there is no other) and "Loss"."""

    @property
    def _constructor(self):
        return LossFrame

    def __getitem__(self, key):
        other = {"Loss": "Default.Loss", "Default.Loss": "Loss"}.get(key) if isinstance(key, str) else None
        return super().__getitem__(other if other in self.columns and key not in self.columns else key)
