/// Which classes and functions a pickle may name.
package enum PickleGlobals: Sendable {
    /// These alone; another one is an error that names it.
    case listed(Set<PickleGlobal>)
    /// Any: what is not known stays a name, which is never imported or called.
    case opaque

    func allow(_ global: PickleGlobal) -> Bool {
        switch self {
        case .listed(let known): known.contains(global)
        case .opaque: true
        }
    }

    /// What a tensor in a file of `torch.save` is made of.
    ///
    /// Source: torch/_utils.py and torch/storage.py, torch 2.13.
    package static let tensors: Set<PickleGlobal> =
        Set(TorchStorageType.names.map { PickleGlobal("torch", $0) })
        .union(TorchStorageType.elementNames.map { PickleGlobal("torch", $0) })
        .union([
            .orderedDictionary, .rebuildTensor, .rebuildTensorV3, .rebuildParameter, .untypedStorage,
            PickleGlobal("torch", "Size"),
        ])
}

extension PickleGlobal {
    package static let rebuildTensor = PickleGlobal("torch._utils", "_rebuild_tensor_v2")
    package static let rebuildTensorV3 = PickleGlobal("torch._utils", "_rebuild_tensor_v3")
    package static let rebuildParameter = PickleGlobal("torch._utils", "_rebuild_parameter")
    package static let untypedStorage = PickleGlobal("torch.storage", "UntypedStorage")
}

extension PickleGraph {
    /// A function in the pickle that runs programs or code, or opens files, of which no checkpoint consists; nil for none.
    ///
    /// Bridge calls nothing. Where the classes of a file are not all known, this one is pointed out for those who load the
    /// file with `torch.load`.
    package var harmfulGlobal: PickleGlobal? {
        nodes.lazy.compactMap { node in
            switch node {
            case .global(let global): global
            case .object(let object): object.callable
            default: nil
            }
        }.first { global in
            let package = global.module.prefix { $0 != "." }
            return Self.harmfulPackages.contains(String(package))
                || ["builtins", "__builtin__"].contains(global.module) && Self.harmfulFunctions.contains(global.name)
        }
    }

    private static let harmfulPackages: Set<String> = [
        "bdb", "codeop", "ctypes", "importlib", "marshal", "nt", "os", "pdb", "pickle", "posix",
        "pty",
        "runpy", "shutil", "socket", "subprocess", "sys", "timeit", "webbrowser",
    ]
    private static let harmfulFunctions: Set<String> = [
        "__import__", "breakpoint", "compile", "eval", "exec", "execfile", "globals", "open", "setattr",
    ]
}
