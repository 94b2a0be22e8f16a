import TorchFiles

/// The classes of `.metadata`.
enum DistributedGlobals {
    private static let module = "torch.distributed.checkpoint"

    static let metadata = PickleGlobal("\(module).metadata", "Metadata")
    static let tensor = PickleGlobal("\(module).metadata", "TensorStorageMetadata")
    static let bytes = PickleGlobal("\(module).metadata", "BytesStorageMetadata")
    static let chunk = PickleGlobal("\(module).metadata", "ChunkStorageMetadata")
    static let properties = PickleGlobal("\(module).metadata", "TensorProperties")
    static let index = PickleGlobal("\(module).metadata", "MetadataIndex")
    static let memoryFormat = PickleGlobal("\(module).metadata", "_MEM_FORMAT_ENCODING")
    static let storage = PickleGlobal("\(module).filesystem", "_StorageInfo")
    static let layout = PickleGlobal("torch.serialization", "_get_layout")

    /// All that such a file names: those above, and what only the writer of a checkpoint needs again.
    ///
    /// Collected from files of megatron-core 0.16.1 and 0.19.2 and of torch 2.13.
    static let all: Set<PickleGlobal> = PickleGlobals.tensors.union([
        metadata, tensor, bytes, chunk, properties, index, memoryFormat, storage, layout,
        PickleGlobal("\(module).metadata", "StorageMeta"),
        PickleGlobal("\(module).planner", "SavePlan"),
        PickleGlobal("\(module).planner", "WriteItem"),
        PickleGlobal("\(module).planner", "WriteItemType"),
        PickleGlobal("\(module).planner", "TensorWriteData"),
        PickleGlobal("\(module).planner", "BytesIOWriteData"),
        PickleGlobal("pathlib", "PosixPath"), PickleGlobal("pathlib", "PurePosixPath"),
        PickleGlobal("pathlib", "Path"),
    ])
}
