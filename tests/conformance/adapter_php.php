<?php
// Links and tickets of version 1 in PHP, from the specification alone: spec/ticket.md, in its order.
// Needs php-cli with sodium and nothing else. Behind the conformance kit's command interface.
declare(strict_types=1);

final class Refusal extends Exception {}

// Keys

function derive(string $secret, string $label): string {
    return hash_hmac('sha256', $label . "\x01", $secret, true);
}

// Link

function format_digits(string $secret, string $label): string {
    $check = substr(hash('sha256', $label . $secret, true), 0, 2);
    $digits = '';
    foreach (unpack('n*', $secret . $check) as $word) {
        $digits .= sprintf('%05d', $word);
    }
    return $digits;
}

function parse_fragment(string $fragment, string $label): string {
    if (!preg_match('/\A#([0-9]{85})(?![0-9])/', $fragment, $match)) {
        throw new Refusal('damaged'); // T6
    }
    $words = array_map('intval', str_split($match[1], 5));
    if (max($words) > 65535) {
        throw new Refusal('damaged'); // T7
    }
    $bytes = pack('n*', ...$words);
    $secret = substr($bytes, 0, 32);
    if (format_digits($secret, $label) !== $match[1]) {
        throw new Refusal('damaged'); // T8
    }
    return $secret;
}

// Envelope

const MAGIC = "tkt/v1\r\n";
const LENGTHS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096];

function seal(string $plaintext, string $secret): string {
    $nonce = substr(hash_hmac('sha256', $plaintext, derive($secret, 'tkt/v1 nonce'), true), 0, 12);
    $head = MAGIC . hash('sha256', derive($secret, 'tkt/v1 token'), true) . $nonce;
    return $head . sodium_crypto_aead_chacha20poly1305_ietf_encrypt(
        $plaintext, $head, $nonce, derive($secret, 'tkt/v1 key'));
}

function unseal(string $envelope, string $secret): array {
    $length = strlen($envelope);
    if ($length % 1024 !== 0 || !in_array(intdiv($length, 1024), LENGTHS, true)) {
        throw new Refusal('length'); // T20
    }
    if (substr($envelope, 0, 8) !== MAGIC) {
        throw new Refusal('version'); // T21
    }
    $th = hash('sha256', derive($secret, 'tkt/v1 token'), true);
    if (!hash_equals($th, substr($envelope, 8, 32))) {
        throw new Refusal('wrong-key'); // T22
    }
    $plaintext = sodium_crypto_aead_chacha20poly1305_ietf_decrypt(
        substr($envelope, 52), substr($envelope, 0, 52), substr($envelope, 40, 12),
        derive($secret, 'tkt/v1 key'));
    if ($plaintext === false) {
        throw new Refusal('aead'); // T23
    }
    return read_ticket($plaintext);
}

// Ticket

const TEXTS = ['title' => 200, 'total' => 64, 'number' => 64, 'issued' => 64, 'lang' => 35];

function read_ticket(string $plaintext): array {
    ['h' => $header_length, 'b' => $body_length] = unpack('Nh/Nb', $plaintext);
    $end = 8 + $header_length + $body_length;
    if ($header_length > 4096 || $end > strlen($plaintext)) {
        throw new Refusal('framing'); // T24
    }
    if (trim(substr($plaintext, $end), "\0") !== '') {
        throw new Refusal('framing'); // T25
    }
    [$header, $shape] = parse_json(substr($plaintext, 8, $header_length));
    $ticket = [];
    foreach (TEXTS as $name => $limit) {
        $text = read_text($header, $name, $limit);
        if ($text !== null) {
            $ticket[$name] = $text;
        }
    }
    $parts = read_parts($header, $shape, substr($plaintext, 8 + $header_length, $body_length));
    if ($parts[0]['type'] !== 'application/pdf') {
        throw new Refusal('framing'); // T34
    }
    $ticket['name'] = plain_name($parts[0]['name'] ?? '');
    $ticket['receipt_length'] = strlen($parts[0]['body']);
    $ticket['receipt_sha256'] = hash('sha256', $parts[0]['body']);
    return $ticket + read_others($parts);
}

// Text

const TEXT_TYPE = 'text/tab-separated-values';

/** The preview, the text and the data that stand after the receipt. */
function read_others(array $parts): array {
    $found = [];
    $types = array_column($parts, 'type');
    $picture = array_search('image/png', $types, true); // T12: the first one; never part 0
    if ($picture !== false) {
        $found['preview_sha256'] = hash('sha256', $parts[$picture]['body']);
    }
    $texts = array_keys($types, TEXT_TYPE, true);
    $lines = count($texts) === 1 ? read_lines($parts[$texts[0]]['body']) : null; // T45
    if ($lines !== null) {
        $found['lines'] = $lines;
        if ($picture !== false) {
            $found['preview_shows'] = $picture < $texts[0] ? 'receipt' : 'rest'; // T43
        }
    }
    $data = [];
    foreach ($parts as $part) {
        $is_data = preg_match('#\Aapplication/(json|xml)\z#', $part['type'], $kind);
        if ($is_data && ($part['name'] ?? '') !== '' && count($data) < 3) { // T49
            $name = plain_name($part['name'], '.' . $kind[1]);
            $hash = hash('sha256', $part['body']);
            $data[] = ['type' => $part['type'], 'name' => $name, 'sha256' => $hash];
        }
    }
    return $data ? $found + ['data' => $data] : $found;
}

/** T45: null for what is to be ignored as a whole. */
function read_lines(string $text): ?array {
    $forbidden = '/[\x{00}-\x{08}\x{0b}-\x{1f}\x{7f}-\x{9f}\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}]/u';
    // preg_match says false, not 0, of what is not UTF-8.
    if (strlen($text) > 32768 || substr($text, -1) !== "\n" || preg_match($forbidden, $text) !== 0) {
        return null;
    }
    return array_map(fn ($line) => explode("\t", $line), explode("\n", substr($text, 0, -1)));
}

/** The values as arrays, and the same again as objects, to tell {} from []. */
function parse_json(string $text): array {
    scan($text);
    // T32: a number that is not written as lengths are becomes one that is none.
    $plain = preg_replace_callback('/"(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*/s', fn (array $token): string =>
        $token[0][0] === '"' || preg_match('/\A(?:0|[1-9][0-9]*)\z/', $token[0]) ? $token[0] : '-1', $text);
    $values = json_decode($plain, true, 512);
    // PHP takes no object member whose name begins with U+0000; only the shape matters here.
    $shape = json_decode(preg_replace('/(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000/', '$1\\ufffd', $text));
    if (!is_object($shape)) {
        throw new Refusal('framing'); // T26, T29
    }
    return [$values, $shape];
}

/** T27, T28, and what PHP's parser is too generous with. */
function scan(string $text): void {
    $depth = 0;
    $outside = preg_replace_callback('/"(?:[^"\\\\]|\\\\.)*"/s', function (array $string): string {
        $rest = preg_replace('/\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\\\[^u]/', '', $string[0]);
        if (preg_match('/\\\\u[dD][89a-fA-F]/', $rest)) {
            throw new Refusal('framing');
        }
        return '""';
    }, $text);
    foreach (str_split($outside) as $character) {
        if ($character === '[' || $character === '{') {
            if (++$depth > 8) {
                throw new Refusal('framing');
            }
        } elseif ($character === ']' || $character === '}') {
            $depth--;
        }
    }
    preg_match_all('/[A-Za-z]{2,}/', $outside, $words); // PHP reads TRUE and Null, too
    if (array_diff($words[0], ['true', 'false', 'null'])) {
        throw new Refusal('framing');
    }
}

function read_text(array $members, string $name, int $limit): ?string {
    if (!array_key_exists($name, $members)) {
        return null;
    }
    $text = $members[$name];
    if (!is_string($text) || strlen(preg_replace('/[\x80-\xbf]/', '', $text)) > $limit) {
        throw new Refusal('framing'); // T31, in code points
    }
    return $text;
}

function read_parts(array $header, object $shape, string $body): array {
    if (!isset($shape->parts) || !is_array($shape->parts)) {
        throw new Refusal('framing');
    }
    $count = count($shape->parts);
    if ($count < 1 || $count > 8) {
        throw new Refusal('framing'); // T31
    }
    $parts = [];
    $offset = 0;
    foreach ($header['parts'] as $index => $listed) {
        if (!is_object($shape->parts[$index])) {
            throw new Refusal('framing'); // T31
        }
        $type = read_text($listed, 'type', 100);
        $name = read_text($listed, 'name', 200);
        $length = $listed['length'] ?? null;
        if ($type === null || !is_int($length)) {
            throw new Refusal('framing'); // T31, T32
        }
        if ($length < 0 || $length > strlen($body)) {
            throw new Refusal('framing'); // T32, and T33 before it could overflow
        }
        $parts[] = ['type' => $type, 'name' => $name, 'body' => substr($body, $offset, (int) $length)];
        $offset += (int) $length;
    }
    if ($offset !== strlen($body)) {
        throw new Refusal('framing'); // T33
    }
    return $parts;
}

function plain_name(string $name, string $ending = '.pdf'): string {
    $last = preg_replace('#^.*[/\\\\]#su', '', $name);
    $safe = preg_replace('/[\x{00}-\x{1f}\x{7f}-\x{9f}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}"*:<>?|]/u', '', $last);
    $stem = trim(preg_replace('/' . preg_quote($ending) . '$/i', '', $safe), ' .');
    preg_match('/\A.{0,100}/su', $stem, $start);
    $stem = trim($start[0], ' .');
    return ($stem === '' ? 'receipt' : $stem) . $ending; // T37, T49
}

// The command interface

function answer(array $request): array {
    $secret = hex2bin($request['secret'] ?? '');
    switch ($request['op'] . ' ' . ($request['do'] ?? $request['kind'] ?? '')) {
        case 'keys ticket':
            $tok = derive($secret, 'tkt/v1 token');
            return ['id' => bin2hex(substr(derive($secret, 'tkt/v1 id'), 0, 16)),
                'key' => bin2hex(derive($secret, 'tkt/v1 key')),
                'nkey' => bin2hex(derive($secret, 'tkt/v1 nonce')),
                'tok' => bin2hex($tok), 'th' => hash('sha256', $tok)];
        case 'link format':
            return ['digits' => format_digits($secret, $request['label'])];
        case 'link parse':
            return ['secret' => bin2hex(parse_fragment($request['fragment'], $request['label']))];
        case 'seal ':
            return ['envelope' => base64_encode(seal(base64_decode($request['plaintext']), $secret))];
        case 'open ':
            return ['ticket' => unseal(base64_decode($request['envelope']), $secret)];
        default:
            return ['outcome' => 'unsupported'];
    }
}

while (($line = fgets(STDIN)) !== false) {
    try {
        $told = answer(json_decode($line, true)) + ['outcome' => 'ok'];
    } catch (Refusal $refusal) {
        $told = ['outcome' => $refusal->getMessage()];
    }
    echo json_encode($told, JSON_THROW_ON_ERROR), "\n";
}
