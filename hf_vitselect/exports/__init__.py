"""Exports: a selection's rows in the form that another trainer reads, one format a file."""

from hf_vitselect.exports.export import export
from hf_vitselect.exports.ids import Ids
from hf_vitselect.exports.llama_factory import LlamaFactory
from hf_vitselect.exports.llava import Llava
from hf_vitselect.exports.ms_swift import MsSwift
from hf_vitselect.exports.openai import OpenAI
from hf_vitselect.exports.parquet import Parquet
from hf_vitselect.exports.sharegpt import ShareGPT
from hf_vitselect.exports.trl import Trl
from hf_vitselect.exports.webdataset import WebDataset

__all__ = [
    "Ids",
    "LlamaFactory",
    "Llava",
    "MsSwift",
    "OpenAI",
    "Parquet",
    "ShareGPT",
    "Trl",
    "WebDataset",
    "export",
]
