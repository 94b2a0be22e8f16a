import TestSupport
import Testing
import Tokenizers

/// Templates that try to hang or crash the process end with an error.
@Suite struct ChatTemplateLimitTests {
    static func failure(_ source: String, _ options: ChatTemplate.Options = .init()) -> TemplateError? {
        do {
            let template = try ChatTemplate(source)
            _ = try template.render([ChatMessage(role: "user", content: "Hi")], specialTokens: [:], options: options)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(99999) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% set ns = namespace(l=1) %}{% for i in range(99999) %}{% set ns.l = {'a': ns.l} %}{% endfor %}",
        "{% set ns = namespace(l=(1,)) %}{% for i in range(99999) %}{% set ns.l = (ns.l, 1) %}{% endfor %}",
        "{{ 'x' * 1000000000000 }}",
        "{{ [1] * 1000000000000 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ 9223372036854775807 * 3 }}",
        "{{ -9223372036854775807 - 2 }}",
        "{{ 3 ** 1000000000 }}",
        "{{ 'a' | indent(100000000000) }}",
        "{{ range(10, -99999999999, -1) }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{{ m(x + 1) }}{{ m(x + 1) }}{% endmacro %}{{ m(0) }}",
        "{% macro a() %}{% call a() %}{% endcall %}{% endmacro %}{{ a() }}",
        "{% for i in range(99999) %}{{ 'x' * 1000000 }}{% endfor %}",
        "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
        "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
        "{% set s = 'a' * 3000000 %}{% for i in range(99999) %}{% set x = s[0] ~ (s == s) %}{% endfor %}",
        "{% set s = 'a' * 3000000 %}{% for i in range(99999) %}{% set z = s.split('a' * 100000 + 'b') %}{% endfor %}",
        "{% set s = 'a' * 3000000 %}{% set z = s.rfind('a' * 1000000 + 'b') %}",
        "{% set l = [['a' * 3000000] * 1000] * 1000 %}{{ l }}",
        "{% set ns = namespace(l=['a' * 1000]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
        "{% set s = 'x' * 30000000 %}{% for i in range(99999) %}{% for c in s %}{% break %}{% endfor %}{% endfor %}",
        "{% set s = 'x' * 30000000 %}{% for i in range(99999) %}{% set a, b = s %}{% endfor %}",
        "{% macro m() %}{% endmacro %}{% set s = 'x' * 3000000 %}{% for i in range(99999) %}{{ m(*s) }}{% endfor %}",
        "{% set s = ' ' * 300000 %}{% for i in range(99999) %}{{ s.strip() }}{{ s | wordcount }}{% endfor %}",
        "{% set s = 'b' * 300000 %}{% for i in range(99999) %}{{ 'a'.strip(s) }}{{ 'a' | trim(s) }}{% endfor %}",
        "{% set s = ['a' * 300000] %}{% for i in range(99999) %}{% set t = s | string %}{% endfor %}",
        "{% set s = 'a' * 300000 %}{% for i in range(99999) %}{% set t = {}[s] %}{% endfor %}",
        "{% set ns = namespace(l=(1,)) %}{% for i in range(99999) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% for i in range(99999) %}{% set l = [1] | batch(100000, 'x') %}{% endfor %}",
        "{% set s = '\n' * 3000000 %}{% set s = s | indent(s * 10) %}",
        "{% set s = '\n' * 30000000 %}{% set l = s.splitlines() %}",
        "{% set s = ',' * 30000000 %}{% set l = s.split(',') %}",
        "{% set s = 'a ' * 15000000 %}{% set l = s.split() %}",
        "{% set s = 'a ' * 15000000 %}{% set l = s.rsplit() %}",
        "{% set s = '\n' * 30000000 %}{% set l = s | indent(1) %}",
        "{% set l = [[1000000000000] * 100000] * 300 %}{{ l }}",
        "{% set l = [[1000000000000] * 100000] * 300 %}{{ '%s' % l }}",
        "{% set l = [[1000000000000] * 100000] * 300 %}{{ '%r' % l }}",
        "{% set l = [['\\x00' * 100000] * 100] * 3 %}{{ l }}",
        "{% set l = ['\\x00' * 10000000] %}{{ l | tojson }}",
        "{% set s = '<' * 10000000 %}{{ s | e }}",
        "{% set s = '\u{390}' * 15000000 %}{{ s.upper() }}",
        "{% set s = '\u{390}' * 15000000 %}{{ s | upper }}",
        "{% set d = dict(a=1, b=2) %}{% for i in range(99999) %}{% for j in range(99999) %}{% set l = [d.items(), d | items, d | dictsort] %}{% endfor %}{% endfor %}",
        "{{ 'a'.ljust(100000000000) }}",
        "{{ 'a'.center(9223372036854775807) }}",
        "{{ '1'.zfill(9223372036854775807) }}",
        "{{ '-1'.zfill(-9223372036854775807) }}{{ missing.x }}",
        "{{ 'a' | center(100000000000) }}",
        "{{ '%100000000000d' % 1 }}",
        "{{ '%*d' % (-9223372036854775807, 1) }}",
        "{{ '%.100000000d' % 1 }}",
        "{{ '{:>100000000000}'.format(1) }}",
        "{{ '{:.100000}'.format(1.5) }}",
        "{{ '\t'.expandtabs(9223372036854775807) }}",
        "{{ ('a\t' * 1000000).expandtabs(1000000) }}",
        "{% for i in range(99999) %}{{ ('a\t' * 10000).expandtabs(8) }}{% endfor %}",
        "{% set s = ' ' * 30000000 %}{{ s | urlencode }}",
        "{% set s = 'a ' * 300000 %}{% for i in range(99999) %}{{ s | wordcount }}{{ s.find('b', 5) }}{% endfor %}",
        "{% set c = cycler(*([1] * 100000)) %}{% for i in range(99999) %}{{ c.items }}{% endfor %}",
        "{% set ns = namespace() %}{% set c = cycler(ns) %}",
        "{% set ns = namespace(c=cycler(1)) %}",
        "{% for i in range(99999) %}{% for j in [1, 2] %}{{ loop.changed([i] * 100000) }}{% endfor %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.me = ns %}",
        "{% set ns = namespace() %}{% set x = [ns] %}",
        "{{ namespace(__class__=1) }}",
        "{{ 1 / 0 }}",
        "{{ '%.99999999999f' % 1.5 }}{{ missing.x }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__init__() }}",
    ]) func itIsStopped(_ source: String) {
        let error = Self.failure(source)
        #expect(error != nil, "\(source)")
        #expect(error?.line != nil, "\(source): \(error?.description ?? "")")
    }

    @Test(arguments: [
        String(repeating: "(", count: 100_000), String(repeating: "[", count: 100_000),
        String(repeating: "-", count: 100_000) + "1",
        String(repeating: "not ", count: 100_000) + "1", String(repeating: "{'a':", count: 100_000),
        "a" + String(repeating: ".b", count: 100_000), "a" + String(repeating: "|trim", count: 100_000),
        "a" + String(repeating: "[0]", count: 100_000), "a" + String(repeating: "()", count: 100_000),
        "1" + String(repeating: " if 1 else 1", count: 100_000), "1" + String(repeating: " if 1", count: 100_000),
        "a is a" + String(repeating: ".b", count: 100_000) + " x",
    ]) func deepExpressionsAreErrorsOrValues(_ expression: String) {
        // Whatever it is, the process survives it.
        _ = Self.failure("{{ \(expression) }}")
    }

    @Test(arguments: ["+ 1", "~ 1", "* 1", "and 1", "or 0", "== 1", "< 2"]) func longChainsAreNotNesting(_ step: String)
    {
        let chain = "1 " + String(repeating: step + " ", count: 20_000)
        #expect(Self.failure("{{ \(chain) }}") == nil, "\(step)")
    }

    @Test func deepBlocksAreAnError() {
        let opened = String(repeating: "{% if 1 %}", count: 50_000)
        #expect(Self.failure(opened + String(repeating: "{% endif %}", count: 50_000))?.code == .syntax)
        let mixed = String(repeating: "{% for a in [1] %}{% if ((((1)))) %}", count: 40)
        #expect(Self.failure(mixed) != nil)
    }

    @Test func theDeepestThatIsAllowedRuns() {
        let open = String(repeating: "{% if (((((1))))) %}", count: 50)
        #expect(Self.failure(open + "x" + String(repeating: "{% endif %}", count: 50)) == nil)
        #expect(Self.failure("{% macro m(x) %}{% if x > 0 %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(20) }}") == nil)
    }

    @Test func aMissingKeyIsNamedByItsStart() {
        #expect(
            Self.failure("{{ {}['a' * 100].x }}")?.description
                == "chat template, line 1: 'dict object' has no attribute '\(String(repeating: "a", count: 60))…'"
        )
    }

    @Test func anErrorNamesItsLine() {
        #expect(Self.failure("a\nb\n{{ missing.x }}")?.line == 3)
        #expect(Self.failure("a\nb\n{% if 1 %}\n{{ 1 +")?.line == 4)
        #expect(Self.failure("\n{{ raise_exception('no') }}")?.description == "chat template, line 2: no")
        #expect(Self.failure("\n{{ raise_exception('no') }}")?.code == .refusal)
    }

    @Test func deepValuesOfTheCallerAreRefused() throws {
        var value: ChatValue = 1
        for _ in 0..<5_000 { value = [value] }
        var options = ChatTemplate.Options()
        options.variables = [.init("deep", value)]
        #expect(Self.failure("{{ deep }}", options) != nil)
        #expect(throws: TemplateError.self) { try ChatValue(json: String(repeating: "[", count: 100_000)) }
    }

    @Test func anEmptyConversationIsAnError() throws {
        let template = try ChatTemplate("x")
        #expect(throws: TemplateError.self) { try template.render([], specialTokens: [:]) }
    }
}
