// The code of the article Errors.

import BridgeCore

// snippet.catch
do {
    let bridge = try AutoBridge.fromHF("models/Ministral-3-3B-Instruct-2512-BF16")
    try bridge.importCheckpoint(to: "megatron/ministral-3-3b")
} catch let error as BridgeError where error.code == .unaccountedTensors {
    print("nothing was written:", error.names)
} catch let error as BridgeError {
    print(error.code, error.message)
}
// snippet.end
