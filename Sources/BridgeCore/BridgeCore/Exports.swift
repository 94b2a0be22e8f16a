// A program that imports BridgeCore gets all modules of the core; a module of the core imports only what it needs.
@_exported public import Adapters
@_exported public import BridgeSupport
@_exported public import CheckpointFormats
@_exported public import Conversion
@_exported public import HuggingFaceHub
@_exported public import ModelPlugins
@_exported public import ModelSchema
@_exported public import Models
@_exported public import NativeKernels
@_exported public import Network
@_exported public import Processing
@_exported public import Recipes
@_exported public import TensorFiles
@_exported public import Toys
