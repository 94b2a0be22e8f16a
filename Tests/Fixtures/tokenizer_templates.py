"""Chat templates in the style of the families, small templates for each part of the language, and what transformers renders.

Used by make_tokenizer_fixtures.py. The templates are written for these tests; they use what the templates of Mistral,
Ministral 3 and Gemma 3 use.
"""

import copy
import datetime
import json

from transformers.utils import chat_template_utils

NOW = datetime.datetime(2025, 3, 9, 14, 5, 7)


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedDate

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- Turns must alternate; tool turns do not count. #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Turns must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id[-9:] + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are known, not " + message["role"] + "!") }}
    {%- endif %}
{%- endfor %}
"""

MINISTRAL = """{#- What is said where nobody says anything. #}
{%- set today = strftime_now("%Y-%m-%d") %}
{%- set default_system_message = 'You are a test of it\\'s template.\\nThe current date is ' + today + ' (\\"{today}\\", \\
yesterday {yesterday}).' %}
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {{- '[SYSTEM_PROMPT]' -}}
    {%- if messages[0]['content'] is string %}
        {{- messages[0]['content'] -}}
    {%- else %}        
        {%- for block in messages[0]['content'] %}
            {%- if block['type'] == 'text' %}
                {{- block['text'] }}
            {%- else %}
                {{- raise_exception('Only text in system messages.') }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '[/SYSTEM_PROMPT]' -}}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
    {%- if default_system_message != '' %}
        {{- '[SYSTEM_PROMPT]' + default_system_message + '[/SYSTEM_PROMPT]' }}
    {%- endif %}
{%- endif %}
{%- set tools_definition = '' %}
{%- set has_tools = false %}
{%- if tools is defined and tools is not none and tools|length > 0 %}
    {%- set has_tools = true %}
    {%- set tools_definition = '[AVAILABLE_TOOLS]' + (tools| tojson) + '[/AVAILABLE_TOOLS]' %}
    {{- tools_definition }}
{%- endif %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if message.role == 'user' or (message.role == 'assistant' and (message.tool_calls is not defined or message.tool_calls is none or message.tool_calls | length == 0)) %}
        {%- if (message['role'] == 'user') != (ns.index % 2 == 0) %}
            {{- raise_exception('Turns must alternate except for tool calls and results.') }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{%- for message in loop_messages %}

    {#- Text, or text and images. #}
    {%- if message['role'] == 'user' %}
        {%- if message['content'] is string %}
            {{- '[INST]' + message['content'] + '[/INST]' }}
        {%- elif message['content'] | length > 0 %}
            {{- '[INST]' }}
            {%- if message['content'] | length == 2 %}
                {%- set blocks = message['content'] | sort(attribute='type') %}
            {%- else %}
                {%- set blocks = message['content'] %}
            {%- endif %}
            {%- for block in blocks %}
                {%- if block['type'] == 'text' %}
                    {{- block['text'] }}
                {%- elif block['type'] in ['image', 'image_url'] %}
                    {{- '[IMG]' }}
                {%- else %}
                    {{- raise_exception('Only text and images in user messages.') }}
                {%- endif %}
            {%- endfor %}
            {{- '[/INST]' }}
        {%- else %}
            {{- raise_exception('A user message has content.') }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {%- if (message['content'] is none or message['content'] == '' or message['content']|length == 0) and (message['tool_calls'] is not defined or message['tool_calls'] is none or message['tool_calls']|length == 0) %}
            {{- raise_exception('An assistant message has content or tool calls.') }}
        {%- endif %}
        {%- generation %}
        {%- if message['content'] is string %}
            {{- message['content'] }}
        {%- elif message['content'] | length > 0 %}
            {%- for block in message['content'] %}
                {%- if block['type'] == 'text' %}
                    {{- block['text'] }}
                {%- else %}
                    {{- raise_exception('Only text in assistant messages.') }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}

        {%- if message['tool_calls'] is defined and message['tool_calls'] is not none and message['tool_calls']|length > 0 %}
            {%- for tool in message['tool_calls'] %}
                {%- set arguments = tool['function']['arguments'] %}
                {%- if arguments is not string %}
                    {%- set arguments = arguments|tojson|safe %}
                {%- elif arguments == '' %}
                    {%- set arguments = '{}' %}
                {%- endif %}
                {{- '[TOOL_CALLS]' + tool['function']['name'] + '[ARGS]' + arguments }}
            {%- endfor %}
        {%- endif %}
        {{- eos_token }}
        {%- endgeneration %}
    {%- elif message['role'] == 'tool' %}
        {{- '[TOOL_RESULTS]' + message['content']|string + '[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception('Unknown role ' + message['role'] + '.') }}
    {%- endif %}
{%- endfor %}
"""

GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Turns must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

MACROS = """{%- macro part(item, index=0, mark='#') -%}
    {{ mark ~ index }}:{% if item is mapping %}{{ item.type }}={{ item.get('text', '-') | upper }}{% else %}{{ item }}{% endif %}
{%- endmacro -%}
{% for message in messages %}
  {% set role = {'user': 'U', 'assistant': 'A'}.get(message.role, '?') %}
{{ role }}{% if not loop.last %}+{% endif %}
  {%- if message.content is string %} {{ part(message.content, loop.index) }}
  {% else %}
    {%- for item in message.content %}
      {%- if item.type == 'skip' %}{% continue %}{% elif item.type == 'stop' %}{% break %}{% endif %}
 {{ part(item, index=loop.index0, mark='*') }}
    {%- else %} nothing{% endfor %}

  {% endif %}
{% generation %}
{% if message.role == 'assistant' %}<{{ message.content if message.content is string else message.content | length }}>{% endif %}
{% endgeneration %}
{% endfor %}
{%- if tools %}{{ tools | tojson(indent=2) }}{% endif %}
{% raw %}{{ raw }} {% x %}{% endraw %}
{{- 'go' if add_generation_prompt }}
"""

TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Gives <the> \"weather\" & more: é 漢字 😀.",
     "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "N'Djamena"]},
                                                     "days": {"type": "number", "default": 1.50, "minimum": 1e-07, "maximum": 1e22}},
                    "required": ["city"], "additionalProperties": False, "nothing": None}}},
    {"type": "function", "function": {"name": "a&b", "description": "", "parameters": {}, "return": {"type": "string"}}},
]


def conversations():
    image = {"type": "image"}
    text = lambda s: {"type": "text", "text": s}
    return {
        "one turn": [{"role": "user", "content": "  Hello, <world>!\n"}],
        "three turns": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " Hello {today} "},
                        {"role": "user", "content": "こんにちは 👩‍👩‍👧‍👦 é"}],
        "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
        "system parts": [{"role": "system", "content": [text("Be brief."), text(" Be kind.")]}, {"role": "user", "content": "Hi"}],
        "image": [{"role": "user", "content": [text("What is it?"), image]}],
        "several images": [{"role": "user", "content": [image, text(" a "), image, image, text("b")]}, {"role": "assistant", "content": [text("A cat.")]},
                           {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, text("And this?")]}],
        "tool calls": [{"role": "user", "content": "Weather?"},
                       {"role": "assistant", "content": "", "tool_calls": [
                           {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "Paris & <co>", "days": 2}}},
                           {"id": "123456789", "type": "function", "function": {"name": "a&b", "arguments": "{\"x\": 1.0}"}}]},
                       {"role": "tool", "name": "weather", "content": "{\"t\": 21.5}", "tool_call_id": "xxabcdefghi"},
                       {"role": "assistant", "content": "It is 21.5 degrees."}],
        "tool result object": [{"role": "user", "content": "Weather?"},
                               {"role": "tool", "content": {"content": [1, None, True, "it's", 0.1], "x": {}}, "tool_call_id": "abcdefghi"}],
        "wrong order": [{"role": "assistant", "content": "Hi"}],
        "unknown role": [{"role": "user", "content": "Hi"}, {"role": "narrator", "content": "Meanwhile"}],
        "empty content": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
        "empty list": [{"role": "user", "content": []}],
        "number content": [{"role": "user", "content": 12}],
        "null content": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": None}],
        "flow": [{"role": "user", "content": [text("a"), {"type": "skip"}, text("b"), {"type": "stop"}, text("c")]}],
        "reasoning": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "thinking": "hm"}],
        "control tokens": [{"role": "user", "content": "[/INST]</s><end_of_turn>"}, {"role": "assistant", "content": "<s>"}],
        "long": [{"role": "user" if i % 2 == 0 else "assistant", "content": f"turn {i}\r\n\t x"} for i in range(12)],
    }


TEMPLATES = {"mistral": MISTRAL, "ministral": MINISTRAL, "gemma": GEMMA, "macros": MACROS}

VALUES = {
    "s": "Hello wörld", "t": "  a,b,,c  ", "n": 7, "m": -3, "f": 2.5, "z": 0, "none": None, "yes": True, "no": False,
    "l": [3, 1, 2], "e": [], "d": {"b": 1, "a": {"x": [1, 2]}, "items": 5, "Ä": "é"}, "w": "x\ny\n\n z", "q": "it's \"q\" \\ \t\u00e9\u200b😀\x00",
    "u": [{"n": "B", "v": 2, "k": {"z": 1}}, {"n": "a", "v": 1}, {"n": "b", "v": 2, "k": {"z": None}}], "nested": [[1, [2.0, "x"]], {"k": [1]}],
    "big": 12345678901234, "words": ["apple", "Banana", "cherry", "apple"], "html": "<b>'&\"</b>", "mixed": [1, "1", 1.0, True, None],
    "huge": 123456789012345678901234567890, "least": -9223372036854775809, "above": 9223372036854775808, "hugef": 1e20,
    "calls": {"name": "f", "arguments": {"id": 18446744073709551615, "list": [-99999999999999999999, 1]}},
}

SNIPPETS = """
{{ s }}|{{ n }}|{{ f }}|{{ none }}|{{ yes }}|{{ no }}|{{ l }}|{{ d }}|{{ e }}|{{ nested }}|{{ missing }}|{{ mixed }}
{{ q }}|{{ [q] }}|{{ {q: q} }}
{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 123456789.125 }} {{ 1.0 }} {{ 1e100 }} {{ 1.5e-7 }} {{ -0.0 }} {{ 100000000000000000000.0 }}
{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5 }} {{ 2e3 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 * 3 + 4 * 5 - 1 }}
{{ 1 ~ 2 ~ 3 }} {{ 'a' ~ 1 ~ none ~ 2.0 }} {{ 'a' 'b' "c" }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1, 2] + [3] }} {{ [0] * 3 }} {{ (1, 2) + (3,) }}
{{ -n }} {{ +n }} {{ - -n }} {{ -m|abs }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ (1 if no) }}|{{ 1 if yes else 2 }} {{ 1 if no else 2 if no else 3 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ [1] == [1.0] }} {{ l == [3, 1, 2] }} {{ none == none }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ true == 1 }} {{ 'é' == 'é' }}
{{ 1 in l }} {{ 5 not in l }} {{ 'lo' in s }} {{ 'b' in d }} {{ 'x' in missing }} {{ not 1 in l }} {{ '' in s }}
{{ yes and 'a' or 'b' }} {{ no or none or 'x' }} {{ not no }} {{ not not yes }} {{ '' and 1 }} {{ e or 'empty' }} {{ yes and no or yes }}
{{ l[0] }} {{ l[-1] }} {{ l[5] }}|{{ d.b }} {{ d['b'] }} {{ d.a.x[1] }} {{ d['nope'] }}|{{ s[0] }} {{ s[-1] }} {{ s[7] }} {{ d.items() | list }} {{ d['items'] }}
{{ s[1:4] }} {{ s[:-2] }} {{ s[::2] }} {{ s[::-1] }} {{ l[1:] }} {{ l[::-1] }} {{ l[-2:] }} {{ l[5:] }} {{ s[-100:3] }} {{ s[4:1:-1] }} {{ l[:none] }} {{ (1, 2, 3)[1:] }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ t.strip() }}|{{ t.lstrip() }}|{{ t.rstrip() }}|{{ 'xxaxx'.strip('x') }} {{ 'abc'.lstrip('ab') }} {{ 'ß'.upper() }} {{ 'ΑΣ'.lower() }}
{{ t.split(',') }} {{ t.split() }} {{ 'a b  c d'.split(None, 2) }} {{ 'a b  c d'.rsplit(none, 1) }} {{ 'a--b--c'.split('--', 1) }} {{ 'a--b--c'.rsplit('--', 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ w.splitlines() }}
{{ s.startswith('He') }} {{ s.endswith('ld') }} {{ s.startswith(('x', 'H')) }} {{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'ab'.replace('', '-') }} {{ s.find('o') }} {{ s.find('z') }} {{ s.rfind('l') }} {{ s.count('l') }} {{ s.index('w') }}
{{ ', '.join(['a', 'b']) }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ '{} and {}'.format(1, 'x') }} {{ '{0}{1}{0} {k}'.format('a', 'b', k=3) }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'A'.isupper() }}
{{ '%s is %d and %.2f%%' % ('x', 3, 2.5) }} {{ '%s' % s }} {{ '%r' % 'a' }} {{ "%s-%s"|format(1, 2) }}
{{ d.keys() | list }} {{ d.values() | list }} {{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 'def') }} {{ d.items() | first }} {{ d | items | list }} {{ d | length }}
{{ s | upper }} {{ s | lower }} {{ 'hello wORLD-foo (bar' | title }} {{ s | capitalize }} {{ t | trim }}|{{ 'xax' | trim('x') }} {{ s | length }} {{ l | count }} {{ s | reverse }} {{ l | reverse | list }}
{{ missing | default('x') }} {{ '' | default('x') }}|{{ '' | default('x', true) }} {{ none | d('y') }} {{ none | default('y', boolean=true) }} {{ missing | default }}|{{ missing.a | default('z') if missing is defined else 'u' }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ u | sort(attribute='n') | map(attribute='n') | list }} {{ u | sort(attribute='v,n') | map(attribute='n') | join }} {{ u | sort(attribute='v', reverse=true) | map(attribute='n') | join(',') }}
{{ u | map(attribute='v') | list }} {{ u | map(attribute='k.z', default='-') | list }} {{ words | map('upper') | list }} {{ words | map('replace', 'a', 'A') | join('|') }} {{ u | map(attribute='zz', default=0) | sum }}
{{ u | selectattr('k') | map(attribute='n') | list }} {{ u | selectattr('v', 'equalto', 2) | list | length }} {{ u | rejectattr('v', '==', 2) | map(attribute='n') | first }} {{ u | selectattr('n', 'in', ['a', 'b']) | map(attribute='n') | list }} {{ u | rejectattr('k', 'defined') | list | length }} {{ u | selectattr('k.z', 'none') | list | length if no else 'q' }}
{{ l | select('gt', 1) | list }} {{ l | reject('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ l | select('divisibleby', 3) | list }} {{ mixed | select('string') | list }} {{ mixed | unique | list }} {{ words | unique | list }}
{{ l | join }} {{ l | join('-') }} {{ u | join(', ', attribute='n') }} {{ l | first }} {{ l | last }} {{ e | first }}|{{ 'abc' | first }} {{ 'abc' | last }} {{ 'abc' | list }} {{ l | sum }} {{ u | sum(attribute='v') }} {{ l | min }} {{ l | max }} {{ words | max }}
{{ '42' | int }} {{ '4.9' | int }} {{ 'x' | int }} {{ 'x' | int(9) }} {{ '1f' | int(base=16) }} {{ 4.9 | int }} {{ '2.5' | float }} {{ 'x' | float }} {{ n | float }} {{ yes | int }} {{ -5 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(0, 'ceil') }} {{ 2.9 | round(method='floor') | int }}
{{ n | string }} {{ l | string | length }} {{ none | string }} {{ d | string }} {{ [1, 'a'] | string + '!' }} {{ s | list | length }} {{ f | string }}
{{ d | tojson }} {{ s | tojson }} {{ q | tojson }} {{ l | tojson }} {{ none | tojson }} {{ yes | tojson }} {{ f | tojson }} {{ nested | tojson }} {{ html | tojson }} {{ 1e-7 | tojson }} {{ e | tojson }} {{ {} | tojson }}
{{ d | tojson(indent=2) }} {{ nested | tojson(indent=1) }} {{ e | tojson(indent=2) }} {{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }} {{ d | tojson(ensure_ascii=true) }} {{ q | tojson(ensure_ascii=true) }} {{ {1: 'a', none: 2, true: 3, 1.5: 4} | tojson }}
{{ w | indent }} {{ w | indent(2) }} {{ w | indent(2, true) }} {{ w | indent(2, first=true, blank=true) }} {{ w | indent('>>') }} {{ s | wordcount }} {{ d | dictsort }} {{ d | dictsort(reverse=true) | map('first') | list }}
{{ l | batch(2) | list }} {{ l | batch(2, 'x') | list }} {{ l | slice(2) | list }} {{ u | groupby('v') | map('first') | list }}
{{ html | escape }} {{ html | e }} {{ ('<' | safe) + '<' }} {{ '<' + ('<' | safe) }} {{ '<' ~ ('<' | safe) }} {{ (d | tojson | safe) + '&' }} {{ html | safe }}
{{ s is defined }} {{ missing is defined }} {{ missing is undefined }} {{ d.zz is defined }} {{ none is none }} {{ s is string }} {{ n is string }} {{ d is mapping }} {{ l is mapping }} {{ l is iterable }} {{ n is iterable }} {{ s is iterable }} {{ l is sequence }} {{ n is number }} {{ yes is number }} {{ f is float }} {{ n is integer }} {{ yes is integer }} {{ yes is boolean }} {{ yes is true }} {{ no is false }} {{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ s is not none }} {{ n is eq 7 }} {{ n is gt(3) }} {{ n is in [7] }} {{ 'a' is lower }} {{ 'A' is upper }} {{ none is sameas none }} {{ range is callable }} {{ 'x' is equalto 'x' }} {{ n is ne 7 }}
{% for i in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b') }};{% endfor %}
{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{% if not loop.last %},{% endif %}{% endfor %}|{% for i in e %}x{% else %}none{% endfor %}|{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for i in range(10) if i is odd %}{{ i }}{{ loop.last }}{% endfor %} {% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %} {% for c in 'héy' %}[{{ c }}]{% endfor %} {% for k in d %}{{ k }}{% endfor %}
{% for i in range(2) %}{% for j in range(2) %}{{ loop.depth }}{{ loop.depth0 }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %} {% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {{ range(5, 0, -2) | list }} {{ range(2, 4) | list }}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {% if yes %}{% set x = 'inner' %}{% endif %}{{ x }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set c = 1, 2 %}{{ c }}
{% set ns = namespace(x=0, y='a') %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y ~ i %}{% endfor %}{{ ns.x }} {{ ns.y }} {{ ns.zz is defined }} {{ namespace({'q': 1}).q }} {{ dict(a=1, b=2) }} {{ dict({'x': 1}, y=2) }}
{% set block %} a{{ n }} b {% endset %}[{{ block }}]{% set up | upper | trim %} shout {% endset %}[{{ up }}] {% filter upper %}a{{ s }}{% endfilter %} {% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}
{% macro m(a, b=2, c='x') %}{{ a }}-{{ b }}-{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c='y') }} {{ m(a=5, b=6) }} {{ m(1, 2, 3, 4) }} {{ m() }} {{ m(1) | upper }}
{% macro outer(x) %}<{{ caller() }}{{ x }}{{ n }}>{% endmacro %}{% call outer('a') %}body{{ s }}{% endcall %} {% macro each(items) %}{% for i in items %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each(l) %}({{ i }}){% endcall %} {% macro rec(i) %}{{ i }}{% if i > 0 %}{{ rec(i - 1) }}{% endif %}{% endmacro %}{{ rec(3) }}
{% if n > 5 and (s is string or no) %}A{% elif n %}B{% else %}C{% endif %}{% if no %}x{% elif n == 7 %}seven{% endif %}{% if missing %}x{% else %}no{% endif %}{% if not e %}empty{% endif %}{% if l | length > 2 %}long{% endif %}
a {%- if yes %} b {%- endif %} c {%- if yes -%} d {%- endif -%} e {{- 1 -}} f {# x #} g {#- y -#} h
{% if yes %}    trimmed{% endif %}    kept {%+ if yes %} x{% endif +%} y
{% raw %} {{ not }} {% this %} {# either #} {% endraw %}|{%- raw -%} x {%- endraw -%} |
{{ 'a\\nb\\t\\'\\"\\\\ \\x41 \\u00e9 \\101 \\q' }} {{ "it's" }} {{ 'say "x"' }} {{ 'no\\
break' }} {{ '\\U0001F600' }}
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %B %Y, %A %H:%M:%S %j %y %b %a %p %I %%') }} {{ strftime_now('%-d %Z|%z|%f') }}
{{ {'a': 1, 'b': [1, {'c': none}]} }} {{ {'a': 1}.a }} {{ {1: 2}[1] }} {{ [] }} {{ () }} {{ (1,) }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ {'x': 1, 'x': 2} }} {{ 'a', 1 }}
{{ messages is defined }} {{ l.index(1) }} {{ l.count(3) }} {{ (n, s) }} {{ [s, f, none, true] }} {{ [1, 2] is sameas [1, 2] }} {{ big }} {{ big * 1000 }} {{ u[0].k.z }} {{ u[1].k is defined }} {{ u[1]['k'] }}
{{ "x" if s == "y" }}|{{ s|upper|lower|length + 1 }} {{ not s == 'x' }} {{ n is not string and s is string }} {{ (l|length) * 2 }} {{ l|length * 2 }} {{ 'a' if n is defined and n > 1 else 'b' }} {{ 10 - 2 - 3 }} {{ 2 * 3 % 4 }} {{ 'a' + 'b' ~ 1 }}
{{ 'ab'.center(7) }}|{{ 'abc'.center(8, '*') }}|{{ 'ab'.ljust(5) }}|{{ 'ab'.ljust(5, '.') }}|{{ 'ab'.rjust(5) }}|{{ 'ab'.rjust(1) }}|{{ 'é😀'.rjust(4, 'ß') }}|{{ '42'.zfill(5) }}|{{ '-42'.zfill(5) }}|{{ '+1'.zfill(4) }}|{{ 'abc'.zfill(2) }}|{{ ''.zfill(3) }}|{{ '-'.zfill(3) }}
{{ 'aBc ßÉ'.swapcase() }} {{ 'ABC x'.casefold() }} {{ 'a\\tbc\\td'.expandtabs() }}|{{ 'a\\tbc\\n\\td'.expandtabs(4) }}|{{ 'a\\tb'.expandtabs(tabsize=0) }}|{{ 'abcabc'.rindex('b') }} {{ '{a} {b}'.format_map({'a': 1, 'b': 'x'}) }}
{{ 'abc'.isascii() }} {{ 'é'.isascii() }} {{ ''.isascii() }} {{ '12'.isdecimal() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ 'a1'.isnumeric() }} {{ 'ab_1'.isidentifier() }} {{ '1ab'.isidentifier() }} {{ 'é'.isidentifier() }} {{ ''.isidentifier() }} {{ 'ab'.isprintable() }} {{ 'a\\n'.isprintable() }} {{ ''.isprintable() }} {{ 'Ab Cd'.istitle() }} {{ 'Ab cd'.istitle() }} {{ 'AB'.istitle() }} {{ '12'.istitle() }} {{ "It'S"  .istitle() }}
{{ 'abcabc'.find('b', 2) }} {{ 'abcabc'.find('b', 2, 4) }} {{ 'abcabc'.find('b', -2) }} {{ 'abcabc'.rfind('a', 0, 3) }} {{ 'abcabc'.index('c', 3) }} {{ 'abcabc'.count('b', 2) }} {{ 'abc'.find('', 2) }} {{ 'abc'.find('', 4) }} {{ 'abc'.count('', 1) }} {{ 'abc'.count('', 4) }} {{ 'abcabc'.startswith('bc', 1) }} {{ 'abcabc'.startswith('abc', 1) }} {{ 'abcabc'.endswith('b', 0, 2) }} {{ 'abc'.startswith('', 4) }} {{ 'aéb'.find('b', none) }} {{ 'abc'.startswith(('x', 'c'), 2) }} {{ [1, 2, 1].index(1, 1) }}
{{ 'a\\nb\\r\\nc'.splitlines(true) }} {{ 'a\\nb'.splitlines(keepends=false) }} {{ 'a\\n'.splitlines(true) }}
{{ '%5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%5s|%-5s|%.2s|%c|%c|%i' % (42, 42, 42, 42, 42, 255, 255, 255, 8, 'ab', 'ab', 'abc', 65, 'z', 3.9) }}
{{ '%8.3f|%-8.2f|%08.2f|%+.1f|%e|%.2E|%g|%g|%G|%.3g' % (3.14159, 2.5, -2.5, 2.0, 12345.678, 0.00012, 1e20, 0.5, 1e-10, 1234.5) }} {{ '%*d|%-*d|%.*f' % (5, 1, 4, 2, 2, 1.005) }} {{ '%.50f' % 0.1 }} {{ '%.3d' % 7 }} {{ '%5.1f%%' % 99.55 }} {{ '%05s|%-05d' % ('a', 3) }}
{{ '%(a)s and %(b)05.1f' % {'a': 'x', 'b': 2.25} }} {{ 'plain' % {} }} {{ 'plain' % [] }} {{ "%(x)s-%(y)d" | format(x=1, y=2) }} {{ '%s' % [1, 2] }} {{ '%s' % ((1, 2),) }} {{ '%d' % huge }} {{ '%d' % true }} {{ '%f' % 3 }} {{ '%s' % huge }} {{ '%d' % 1e22 }}
{{ '{:>6}|{:<6}|{:^6}|{:*^7}|{:6}|{:6}'.format('ab', 'ab', 'ab', 'ab', 'ab', 12) }} {{ '{:05d}|{:+d}|{: d}|{:x}|{:#X}|{:b}|{:#o}|{:,}|{:_}|{:,.2f}'.format(42, 42, 42, 255, 255, 5, 8, 1234567, 1234567, 1234567.891) }} {{ '{:.2f}|{:8.3f}|{:<8.1f}|{:e}|{:g}|{:%}|{:.1%}'.format(3.14159, 2.5, 2.25, 12345.678, 0.0001, 0.25, 0.1234) }}
{{ '{!r}|{!s}|{0!r:>5}'.format('a', 'b') if no else '{!r}|{!s}|{!r:>5}'.format('a', 'b', 'c') }} {{ '{0.b}'.format(namespace(b=3)) if no else '' }} {{ '{:.2}|{:5.1}'.format('abc', 'xyz') }} {{ '{{}} {}'.format(1) }} {{ '{:d}|{:>4}|{}'.format(true, true, true) }} {{ '{}'.format(none) }} {{ '{:,}'.format(999) }} {{ '{:,}'.format(-1234) }} {{ '{:=+6d}|{:-<6d}|{:06.1f}'.format(42, 42, -2.5) }} {{ '{:x}'.format(-255) }} {{ '{}|{:5}'.format(huge, 2.0) }} {{ '{:c}{:s}'.format(97, 'b') }}
{{ 'ab' | center(7) }}|{{ 12 | center(6) }}|{{ 'ab' | center | length }}|{{ 'Lorem ipsum dolor sit amet' | truncate(12) }}|{{ 'Lorem ipsum dolor sit amet' | truncate(12, true) }}|{{ 'Lorem ipsum dolor sit amet' | truncate(12, false, '…') }}|{{ 'Lorem ipsum' | truncate(9) }}|{{ 'Lorem ipsum' | truncate(9, leeway=0) }}|{{ 'Lorem ipsum' | truncate(5, killwords=true, end='', leeway=0) }}|{{ 'Loremipsumdolor' | truncate(6, leeway=0) }}|{{ 'short' | truncate }}
{{ 1 | filesizeformat }} {{ 0 | filesizeformat }} {{ 999 | filesizeformat }} {{ 1000 | filesizeformat }} {{ 1500000 | filesizeformat }} {{ 1536 | filesizeformat(true) }} {{ '2048' | filesizeformat(binary=true) }} {{ 1e30 | filesizeformat }} {{ 12.7 | filesizeformat }} {{ html | forceescape }} {{ ('<' | safe) | forceescape }} {{ ('<' | safe) | escape }}
{{ 'a b/c?ä&=' | urlencode }} {{ {'a b': 'c/d', 'ä': 1} | urlencode }} {{ [('x', 1), ('y', '&')] | urlencode }} {{ 7 | urlencode }} {{ namespace(q=5) | attr('q') }}|{{ d | attr('b') }}|{{ s | attr('nope') }}|{{ [1, 2] | attr('x') | default('none') }}
{% set c = cycler('odd', 'even', 3) %}{{ c.next() }} {{ c.next() }} {{ c.current }} {{ c.pos }} {{ c.items }} {{ c.next() }}{{ c.next() }} {{ c.reset() }} {{ c.current }} {{ c.nope }}|{% set j = joiner() %}{% for i in l %}{{ j() }}{{ i }}{% endfor %} {% set k = joiner('|') %}{{ k() }}{{ k() }}{{ k.sep }}{{ k.used }} {% for i in range(3) %}{{ c.next() }}{% endfor %}
{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }}{% endfor %} {% for i in [1, 2] %}{% for j in [3, 3] %}{{ loop.changed(j, i) }}{% endfor %}{% endfor %} {% for i in [1, '1', 1.0] %}{{ loop.changed(i) }}{% endfor %}
{{ dict(b=1, a=2) }} {{ dict({'z': 0}, b=1, a=2) | tojson }} {{ dict([('x', 1), ('y', 2)]) }} {{ dict(**{'q': 1, 'b': 2}) }} {% macro kw() %}{{ kwargs }}{% endmacro %}{{ kw(z=1, b=2, a=3) }} {{ dict() }}
{{ huge }} {{ huge | tojson }} {{ calls }} {{ calls | tojson }} {{ calls.arguments.id }} {{ least }} {{ above }} {{ -above }} {{ -huge }} {{ huge | string | length }} {{ huge is number }} {{ huge is integer }} {{ huge is float }} {{ huge | abs }} {{ least | abs }} {{ huge | int }} {{ above | float }} {{ huge == huge }} {{ huge > 1 }} {{ least < -5 }} {{ huge < above }} {{ above == 9223372036854775808.0 }} {{ hugef == 100000000000000000000 }} {{ huge is even }} {{ above is odd }} {{ huge and 'true' }} {{ [huge, 1, least] | sort }} {{ huge in [huge] }} {{ {huge: 'a'}[huge] }} {{ {huge: 1} | tojson }} {{ huge + 0.5 }} {{ 12345678901234567890 }} {{ huge ~ '!' }} {{ above | round }} {{ '99999999999999999999' | int }} {{ hugef | int }} {{ '-00012345678901234567890' | int }}
{{ 7 | round }} {{ 7 | round(2) }} {{ true | round }} {{ 7 | round(0, 'ceil') }} {{ '0x1f' | int(base=16) }} {{ '0x1f' | int(0, 0) }} {{ '0x1f' | int }} {{ '0x10' | float }} {{ '1_000' | int }} {{ '1__0' | int }} {{ '_1' | int }} {{ ' 12 ' | int }} {{ '+5' | int }} {{ '--5' | int }} {{ '1e3' | int }} {{ 'inf' | float }} {{ '1_0.5' | float }} {{ '0b11' | int(base=2) }} {{ 'zz' | int(base=36) }} {{ 'x' | float('d') }} {{ none | int(default='n') }} {{ 2.5.is_integer() }} {{ 2.0.is_integer() }} {{ 'nan' | int(3) }}
{{ "it's a well-known e-mail, x_y 3.5" | wordcount }} {{ 'é ü' | wordcount }} {{ '' | wordcount }} {{ ['a', 'B', 'A'] | max }} {{ ['a', 'B', 'A', 'b'] | max }} {{ ['b', 'A', 'a'] | min }} {{ ['a', 'B', 'A'] | max(case_sensitive=true) }} {{ ['b', 'A', 'B'] | min(true) }} {% for g in u | groupby('v') %}{{ g.grouper }}:{{ g.list | map(attribute='n') | join('') }}:{{ g[0] }} {% endfor %}{{ u | groupby('k.z', default=0) | map('first') | list if no else '' }}{% for k, i in [{'a': 'x'}, {'a': 'X'}, {}] | groupby('a', default='q') %}{{ k }}{{ i | length }} {% endfor %}{% for k, i in [{'a': 'x'}, {'a': 'X'}] | groupby('a', case_sensitive=true) %}{{ k }}{{ i | length }} {% endfor %}
{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'defined' is test }} {{ 'nope' is test }} {{ 'truncate' is filter }}
{% for m in [{'r': 'u'}, {'r': 'a', 'p': ['x', 'é', '']}, {'r': 'a', 'p': ['z']}] %}{% if m.r == 'a' %}{% generation %}<a>{% endgeneration %}{% for p in m.p %} {% generation %}{{ p }}{% endgeneration %}{% endfor %}{% generation %}</a>{% endgeneration %}{% else %}<u/>{% endif %}{% endfor %}
{% macro turn(x) %}{% generation %}{{ x }}{% endgeneration %}{% endmacro %}{% generation %}a{% endgeneration %}{% generation %}b{% endgeneration %}|{% generation %}{% if yes %}c{% endif %}{% endgeneration %}{% set ns = namespace(t='') %}{% generation %}{% set ns.t = 'in' %}{% endgeneration %}{{ ns.t }}
{% generation %}x{{ s }}{% endgeneration %}y{% for i in range(2) %}{% generation %}é{{ i }}{% endgeneration %}-{% endfor %}{% if yes %}{%- generation -%} z {%- endgeneration -%}{% endif %}
"""

FAILING = """
{{ missing.a }}
{{ missing + 1 }}
{{ missing() }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ [] + 'a' }}
{{ n.x.y }}
{{ none.x.y }}
{{ n() }}
{{ s | nofilter }}
{{ s is notest }}
{{ d.pop('b') }}
{{ l.append(1) }}
{{ raise_exception('no') }}
{{ range(1000000) }}
{% for i in n %}{% endfor %}
{% for i in none %}{% endfor %}
{% set d.x = 1 %}
{% set a, b = [1] %}
{% if %}x{% endif %}
{% for %}x{% endfor %}
{% endif %}
{% if yes %}
{{ 'open }}
{{ (1 }}
{{ [1 }}
{{ 1 2 }}
{% nosuch %}
{# open
{% raw %} x
{{ s[::0] }}
{{ u | sort }}
{{ [1, 'a'] | sort }}
{{ s | length() + none }}
{{ 'x' in n }}
{{ 1 in s }}
{{ -s }}
{{ 'a'.center(5, 'xy') }}
{{ 'a'.ljust() }}
{{ 'a'.ljust('5') }}
{{ 'a'.rindex('b') }}
{{ 'abc'.index('a', 1) }}
{{ 'abc' | truncate(2) }}
{{ 'abc' | truncate(2, true, '') if no else missing.x }}
{{ cycler() }}
{{ '%d' % 'x' }}
{{ '%x' % 1.5 }}
{{ '%(a)s' % 'x' }}
{{ '%(a)s' % {} }}
{{ 'plain' % 5 }}
{{ '%y' % 1 }}
{{ '{:d}'.format('x') }}
{{ '{:s}'.format(1) }}
{{ '{:5}'.format(none) }}
{{ '{:.1d}'.format(3) }}
{{ '}'.format() }}
{{ '{'.format() }}
{{ '{} {}'.format(1) }}
{{ dict(1) }}
{{ dict([1]) }}
{{ 'x' | filesizeformat }}
{{ loop.changed }}{{ missing.changed(1) }}
{{ [1, 2].index(1, 1) }}
{{ huge + 'a' }}
{{ tojson }}{{ range | tojson }}
{{ '%d' % 'x' }}
{{ '%s %s' % 'x' }}
{{ s.split('') }}
{{ s.index('zzz') }}
{% macro m(a=1, b) %}{% endmacro %}
{{ }}
{{ a b }}
{{ a. }}
{{ a[ }}
{% set x %}
{% set 1 = 2 %}
{% set true = 2 %}
{{ @ }}
{{ 1 is }}
{{ s | }}
"""


def render(template, context):
    compiled = chat_template_utils._compile_jinja_template(template)
    text, spans = chat_template_utils._render_with_assistant_indices(
        compiled, context.get("messages"), context.get("tools"), context.get("documents"), context.get("add_generation_prompt", False),
        **{k: v for k, v in context.items() if k not in ("messages", "tools", "documents", "add_generation_prompt")})
    count = lambda end: len(text[:end].encode("utf-8"))
    return text, [[count(a), count(b)] for a, b in spans]


def chat(template, messages, tools, prompt):
    """What apply_chat_template does around the rendering."""
    messages = [{k: v for k, v in m.items() if v is not None} for m in copy.deepcopy(messages)]
    rendered, spans = chat_template_utils.render_jinja_template(
        conversations=[messages], tools=tools, chat_template=template, add_generation_prompt=prompt,
        return_assistant_tokens_mask=True, bos_token="<s>", eos_token="</s>")
    text = rendered[0]
    count = lambda end: len(text[:end].encode("utf-8"))
    return text, [[count(a), count(b)] for a, b in spans[0]]


def write(folder):
    cases = []
    for name, template in TEMPLATES.items():
        for title, messages in conversations().items():
            for tools, prompt in [(None, False), (None, True), (TOOLS, False)]:
                case = {"template": name, "conversation": title, "tools": tools is not None, "prompt": prompt}
                try:
                    case["text"], case["spans"] = chat(template, messages, tools, prompt)
                except Exception as error:
                    case["error"] = str(error)
                cases.append(case)
    snippets = [line for line in join_lines(SNIPPETS)]
    rows = []
    for source in snippets:
        text, spans = render(source, dict(copy.deepcopy(VALUES), messages=[], tools=None))
        rows.append({"source": source, "text": text, "spans": spans})
    for source in join_lines(FAILING):
        try:
            text, _ = render(source, dict(copy.deepcopy(VALUES), messages=[], tools=None))
        except Exception as error:
            rows.append({"source": source, "error": f"{type(error).__name__}: {error}"})
        else:
            raise SystemExit(f"{source!r} does not fail but gives {text!r}")
    tree = {"templates": TEMPLATES, "conversations": conversations(), "tools": TOOLS, "values": VALUES, "cases": cases, "snippets": rows,
            "date": NOW.isoformat()}
    (folder / "templates.json").write_text(json.dumps(tree, ensure_ascii=True, separators=(",", ":")) + "\n")


def join_lines(block):
    """One snippet a line; a line that ends with a backslash goes on."""
    lines, current = [], ""
    for line in block.strip("\n").split("\n"):
        current += line
        if line.endswith("\\"):
            current += "\n"
            continue
        lines.append(current)
        current = ""
    return lines
