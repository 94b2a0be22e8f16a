import JinjaTemplates

/// Writes a conversation as control tokens and texts.
struct InstructWriter {
    private let version: InstructChat.Version
    private let controlTokens: Set<String>
    private let tools: [InstructTool]
    private var text = ""
    private var literals: [Range<Int>] = []
    private var assistantSpans: [Range<Int>] = []

    init(version: InstructChat.Version, controlTokens: Set<String>, tools: [InstructTool]) {
        self.version = version
        self.controlTokens = controlTokens
        self.tools = tools
    }

    /// The output.
    var chat: RenderedChat { RenderedChat(text: text, assistantSpans: assistantSpans, literals: literals) }

    private mutating func control(_ token: String) throws(TokenizerError) {
        guard controlTokens.contains(token) else {
            throw TokenizerError(
                .unsupported,
                "the tekken.json of this model has no control token \(token), which version v\(version.rawValue) writes here"
            )
        }
        text += token
    }

    /// A text, which is encoded by itself.
    private mutating func literal(_ piece: String) {
        guard !piece.isEmpty else { return }
        let start = text.utf8.count
        text += piece
        literals.append(start..<text.utf8.count)
    }

    /// Writes a conversation that has been checked.
    mutating func write(_ turns: [InstructTurn], continuesLast: Bool) throws(TokenizerError) {
        let (turns, systemPrompt) = try InstructTurn.joined(turns, for: version)
        let users = turns.indices.filter { turns[$0].role == .user }
        let toolsAt = version < .v13 ? users.last : users.first
        try control("<s>")
        for (index, turn) in turns.enumerated() {
            switch turn.role {
            case .system:
                try control("[SYSTEM_PROMPT]")
                try write(turn.content)
                try control("[/SYSTEM_PROMPT]")
            case .user:
                if index == toolsAt, !tools.isEmpty { try writeTools() }
                try control("[INST]")
                try writeUser(turn.content, systemPrompt: index == users.last ? systemPrompt : nil)
                try control("[/INST]")
            case .assistant:
                let start = text.utf8.count
                try writeAssistant(turn)
                if !continuesLast || index < turns.count - 1 { try control("</s>") }
                assistantSpans.append(start..<text.utf8.count)
            case .tool: try writeResult(turn)
            }
        }
    }

    private mutating func write(_ content: InstructTurn.Content?) throws(TokenizerError) {
        switch content {
        case nil: break
        case .text(let piece)?: literal(piece)
        case .chunks(let chunks)?:
            for chunk in chunks { try write(chunk) }
        }
    }

    private mutating func write(_ chunk: InstructTurn.Chunk) throws(TokenizerError) {
        switch chunk {
        case .text(let piece): literal(piece)
        case .image: try control("[IMG]")
        case .thinking(let thought, let isClosed):
            guard version >= .v13, controlTokens.isSuperset(of: ["[THINK]", "[/THINK]"]) else {
                throw InstructCheck.refusal(
                    "a message holds thinking, and this model's tekken.json has no tokens for it"
                )
            }
            try control("[THINK]")
            literal(thought)
            if isClosed { try control("[/THINK]") }
        }
    }

    private mutating func writeTools() throws(TokenizerError) {
        try control("[AVAILABLE_TOOLS]")
        var json = "["
        for (index, tool) in tools.enumerated() {
            json += (index > 0 ? ", " : "") + (try PythonJSON.text(of: tool.value))
        }
        literal(json + "]")
        try control("[/AVAILABLE_TOOLS]")
    }

    private mutating func writeUser(_ content: InstructTurn.Content?, systemPrompt: String?) throws(TokenizerError) {
        let prefix = systemPrompt.flatMap { $0.isEmpty ? nil : $0 + "\n\n" } ?? ""
        switch content {
        case nil: literal(prefix)
        case .text(let piece)?: literal(prefix + piece)
        case .chunks(var chunks)?:
            // One image after texts only is moved before them.
            let images = chunks.filter { if case .image = $0 { true } else { false } }
            if images.count == 1, chunks.count > 1, case .image = chunks[chunks.count - 1] {
                chunks.insert(chunks.removeLast(), at: 0)
            }
            literal(prefix)
            for chunk in chunks { try write(chunk) }
        }
    }

    private mutating func writeAssistant(_ turn: InstructTurn) throws(TokenizerError) {
        if case .text(let piece)? = turn.content {
            literal(PythonText.strip(piece, " ", left: false, right: true))
        } else {
            try write(turn.content)
        }
        guard !turn.calls.isEmpty else { return }
        guard version >= .v11 else {
            try control("[TOOL_CALLS]")
            var calls: [String] = []
            for call in turn.calls {
                let arguments = try PythonJSON.text(of: call.arguments)
                var json = "{\"name\": \(try PythonJSON.text(of: .text(call.name))), \"arguments\": \(arguments)"
                if !call.id.isEmpty, call.id != "null" {
                    json += ", \"id\": \(try PythonJSON.text(of: .text(call.id)))"
                }
                calls.append(json + "}")
            }
            return literal("[" + calls.joined(separator: ", ") + "]")
        }
        for call in turn.calls {
            try control("[TOOL_CALLS]")
            literal(call.name)
            if version < .v13, !call.id.isEmpty, call.id != "null" {
                try control("[CALL_ID]")
                literal(call.id)
            }
            try control("[ARGS]")
            literal(try PythonJSON.text(of: call.arguments))
        }
    }

    private mutating func writeResult(_ turn: InstructTurn) throws(TokenizerError) {
        var result = ""
        if case .text(let text)? = turn.content { result = text }
        let id = turn.callID ?? ""
        try control("[TOOL_RESULTS]")
        switch version {
        case .v3:
            let content = try PythonJSON.text(of: PythonJSON.value(of: result))
            literal("{\"content\": \(content), \"call_id\": \(try PythonJSON.text(of: .text(id)))}")
        case .v7, .v11:
            literal(id)
            try control("[TOOL_CONTENT]")
            literal(result)
        case .v13: literal(result)
        }
        try control("[/TOOL_RESULTS]")
    }
}
