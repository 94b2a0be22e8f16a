"""transformers' processors as its users get them, on their Pillow path and without torchvision."""

import sys

from transformers import AutoProcessor
from transformers.models.pixtral import image_processing_pil_pixtral
from transformers.utils import chat_template_utils


def load_processor(folder):
    """The processor of a folder with images, the tokenizer of one without."""
    # PixtralProcessor needs torchvision for one function, which the Pillow module has as well, letter for letter.
    sys.modules.setdefault("transformers.models.pixtral.image_processing_pixtral", image_processing_pil_pixtral)
    from transformers.models.pixtral.processing_pixtral import PixtralProcessor

    try:
        return AutoProcessor.from_pretrained(folder)
    except ImportError:
        return PixtralProcessor.from_pretrained(folder)


class Clock:
    """Stands in for the clock that chat templates see."""

    def __init__(self, moment):
        self.moment = moment

    def now(self):
        return self.moment


def set_clock(moment):
    chat_template_utils.datetime = Clock(moment)
