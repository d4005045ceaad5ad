"""The uncut network of a model: its names of the tensors, and the way to a folder of timm or transformers."""

import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ftlib.models.about import About
from ftlib.models.base import Model

WEIGHTS = "model.safetensors"
CROPS = {"stretch": "squash", "crop": "center", "pad": "border"}  # our word -> timm's


class Network:
    """A network drawn anew and cut, to see which of its tensors became which of the model's.

    `names` is {name in the model: name in the network, or None where the network has no such place}.
    """

    def __init__(self, model: Model):
        outputs = getattr(model.head, "out_features", None)
        with torch.random.fork_rng(devices=[]):  # drawing leaves the learner's random numbers alone
            net = self.draw(model, outputs)
            self.shapes = {name: t.shape for name, t in net.state_dict().items()}
            held, place = {}, self.head_of(net)
            for name, t in net.state_dict().items():
                held.setdefault(t.data_ptr(), name)  # tied tensors go by their first name
            twin = type(model)(net, model.make, model.name, None if model.kind == "lm" else outputs, model.tokenizer)
        self.own = {name: t.shape for name, t in twin.state_dict().items()}
        self.names = {name: held.get(t.data_ptr()) for name, t in twin.state_dict().items()}
        if model.kind != "lm":
            for name in ("head.weight", "head.bias"):
                if name in self.names:
                    self.names[name] = place and name.replace("head", place, 1)

    def draw(self, model: Model, outputs: int | None) -> nn.Module:
        """A network with new weights."""
        return model.make()

    def head_of(self, net: nn.Module) -> str | None:
        """What the network calls the place of our head."""
        return None

    def fits(self, tensors: dict[str, Tensor]) -> bool:
        """Whether the model is this network, and nothing was put in or taken out."""
        return {name: t.shape for name, t in tensors.items()} == self.own

    def renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors by the network's names; those without a place are left out."""
        named = {self.names[key]: t for key, t in tensors.items() if self.names[key]}
        return {name: t.detach().cpu().reshape(self.shapes[name]).contiguous() for name, t in named.items()}


class TextNetwork(Network):
    """One of transformers."""

    def write(self, tensors: dict[str, Tensor], folder: Path, model: Model, about: About) -> None:
        """A folder for from_pretrained."""
        self.write_config(folder, model, about)
        save_file(self.renamed(tensors), folder / WEIGHTS, metadata={"format": "pt"})

    def write_config(self, folder: Path, model: Model, about: About) -> None:
        """config.json and the tokenizer."""
        with torch.random.fork_rng(devices=[]):
            net = model.make()
        config = copy.deepcopy(net.config)
        config._name_or_path = ""  # a path of this computer
        config.architectures, config.dtype = [type(net).__name__], torch.float32
        config.save_pretrained(folder)
        if model.tokenizer is not None:
            model.tokenizer.save_pretrained(folder)


class ImageNetwork(Network):
    """One of timm, whose classifier is our head."""

    def draw(self, model, outputs):
        from ftlib.models.image import _create

        architecture, arguments, cfg = model.make.args
        return _create(architecture, {**arguments, **({"num_classes": outputs} if outputs else {})}, cfg)

    def head_of(self, net):
        classifier = net.get_classifier()
        return next((name for name, module in net.named_modules() if module is classifier), None)

    def fits(self, tensors):
        places = [name for name in self.names.values() if name]
        return super().fits(tensors) and set(places) == set(self.shapes) and len(places) == len(self.names)

    def write(self, tensors: dict[str, Tensor], folder: Path, model: Model, about: About) -> None:
        """A folder for timm.create_model("local-dir:...")."""
        self._write(folder, model, about, self.renamed(tensors))

    def write_config(self, folder: Path, model: Model, about: About) -> None:
        """config.json alone."""
        self._write(folder, model, about)
        (folder / WEIGHTS).unlink()

    def _write(self, folder: Path, model: Model, about: About, tensors: dict | None = None) -> None:
        from timm.models import save_for_hf

        with torch.random.fork_rng(devices=[]):
            net = self.draw(model, getattr(model.head, "out_features", None))
        if tensors:
            net.load_state_dict(tensors)
        way, cfg = about.preprocessing, net.pretrained_cfg
        data = {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": CROPS[way.shape]}
        if way.size and not cfg.get("fixed_input_size"):
            data["input_size"] = (cfg["input_size"][0], way.size, way.size)
        labels = {"label_names": about.labels} if len(about.labels) == net.num_classes else {}
        save_for_hf(net, str(folder), model_config=labels, data_config=data, safe_serialization=True)


def network_of(model: Model) -> Network:
    """The uncut network of a model."""
    return ImageNetwork(model) if model.kind == "image" else TextNetwork(model)
