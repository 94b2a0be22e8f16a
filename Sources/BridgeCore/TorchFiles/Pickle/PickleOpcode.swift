/// The opcodes that are read; every other one is refused.
///
/// Source: pickletools.py, Python 3.11. Those that torch and Megatron-Core write are among them, and those that
/// Python's own pickler may choose instead for the same values.
enum PickleOpcode: UInt8, CaseIterable {
    case mark = 0x28
    case stop = 0x2E
    case pop = 0x30
    case popMark = 0x31
    case binFloat = 0x47
    case binInt = 0x4A
    case binInt1 = 0x4B
    case binInt2 = 0x4D
    case none = 0x4E
    case binPersistentID = 0x51
    case reduce = 0x52
    case binUnicode = 0x58
    case append = 0x61
    case build = 0x62
    case global = 0x63
    case dictionary = 0x64
    case emptyDictionary = 0x7D
    case appends = 0x65
    case binGet = 0x68
    case longBinGet = 0x6A
    case list = 0x6C
    case emptyList = 0x5D
    case binPut = 0x71
    case longBinPut = 0x72
    case setItem = 0x73
    case tuple = 0x74
    case emptyTuple = 0x29
    case setItems = 0x75
    case binBytes = 0x42
    case shortBinBytes = 0x43
    case proto = 0x80
    case newObject = 0x81
    case tuple1 = 0x85
    case tuple2 = 0x86
    case tuple3 = 0x87
    case newTrue = 0x88
    case newFalse = 0x89
    case long1 = 0x8A
    case long4 = 0x8B
    case shortBinUnicode = 0x8C
    case binUnicode8 = 0x8D
    case binBytes8 = 0x8E
    case emptySet = 0x8F
    case addItems = 0x90
    case frozenSet = 0x91
    case stackGlobal = 0x93
    case memoize = 0x94
    case frame = 0x95
}
