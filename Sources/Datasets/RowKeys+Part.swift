import JSONTree

extension RowKeys {
    /// The keys of a part of a content.
    struct Part {
        /// The keys that the reader of rows does not use, those of an object in the part after its key; a null counts as none.
        let unread: [String]

        /// The names of a part's reasoning, the first one first.
        static let reasoning = ["thinking", "reasoning", "text"]

        /// The keys of a part; nil for what is not an object.
        init?(_ json: JSON) {
            guard let object = json.object else { return nil }
            var read: Set<String> = ["type"]
            var below: [String] = []
            switch json["type"]?.string {
            case "text": read.insert("text")
            case "thinking", "reasoning":
                read.formUnion(["closed"] + (Self.reasoning.first { json[$0]?.nonNull != nil }.map { [$0] } ?? []))
            case "image", "image_url":
                (read, below) = Self.image(json)
                read.insert("type")
            default: break
            }
            read.formUnion(TurnMarks.keys + TurnMarks.details + TurnMarks.prompts)
            unread = object.filter { !$0.value.isNull && !read.contains($0.key) }.map(\.key) + below
        }

        /// The keys that name the image of a part, and the unused keys of an object below one of them.
        private static func image(_ json: JSON) -> (read: Set<String>, below: [String]) {
            for key in ["image_url", "image"] {
                guard let value = json[key]?.nonNull else { continue }
                guard value.object != nil else { return ([key], []) }
                let (inner, below) = image(value)
                let others = value.object?.filter { !$0.value.isNull && !inner.contains($0.key) }.map(\.key) ?? []
                return ([key], (others + below).map { "\(key).\($0)" })
            }
            return (Set(ImagePaths.usedKeys(of: json)), [])
        }
    }
}
