import JSONTree

extension JSON {
    /// This JSON with values repeated under former keys, which programs that read the output may keep using for one release.
    ///
    /// - Parameter keys: The former keys by the present ones, for objects at any depth.
    /// - Returns: The JSON; former keys follow the present ones.
    func alsoUnder(_ keys: [String: String]) -> JSON {
        if let array { return .array(array.map { $0.alsoUnder(keys) }) }
        guard let object else { return self }
        let members = object.map { ($0.key, $0.value.alsoUnder(keys)) }
        return .object(JSONObject(members + members.compactMap { key, value in keys[key].map { ($0, value) } }))
    }
}
