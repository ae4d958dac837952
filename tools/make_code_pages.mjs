// Writes e2ee_ticket/sources/code_pages.json: the letters of every code page of receipt printers, and
// the numbers that the makers' printers give them. From two npm packages (MIT), whose tables were read
// off printers: npm pack @point-of-sale/codepage-encoder@3.0.2 @point-of-sale/receipt-printer-encoder@4.0.1
// Usage: node tools/make_code_pages.mjs FOLDER_WITH_BOTH_UNPACKED > e2ee_ticket/sources/code_pages.json
import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

const folder = process.argv[2];
const pages = pathToFileURL(`${folder}/codepage-encoder/dist/codepage-encoder.mjs`);
const {default: encoder} = await import(pages);
const source = readFileSync(`${folder}/receipt-printer-encoder/dist/receipt-printer-encoder.mjs`, 'utf8');
const table = source.slice(source.indexOf('const codepageMappings = {'));
const mappings = eval(`(${table.slice(table.indexOf('{'), table.indexOf('\n};') + 2)})`);

const FAMILIES = {
  'epson': ['esc-pos', 'epson'], 'star': ['esc-pos', 'star'], 'bixolon': ['esc-pos', 'bixolon'],
  'citizen': ['esc-pos', 'citizen'], 'hp': ['esc-pos', 'hp'], 'xprinter': ['esc-pos', 'xprinter'],
  'fujitsu': ['esc-pos', 'fujitsu'], 'metapace': ['esc-pos', 'metapace'], 'sunmi': ['esc-pos', 'sunmi'],
  'pos-5890': ['esc-pos', 'pos-5890'], 'pos-8360': ['esc-pos', 'pos-8360'], 'youku': ['esc-pos', 'youku'],
  'mpt': ['esc-pos', 'mpt'], 'star-line': ['star-prnt', 'star'],
};

const out = {pages: {}, families: {}};
for (const [family, [language, name]] of Object.entries(FAMILIES)) {
  const numbers = {};
  mappings[language][name].forEach((page, number) => {
    if (!encoder.supports(page)) {
      console.error(`${family} ${number}: ${page} has no table`);
      return;
    }
    numbers[number] = page;
    const codes = encoder.getEncoding(page).codepoints;
    out.pages[page] = String.fromCodePoint(...Array.from({length: 128}, (_, i) => codes[128 + i] ?? 0xfffd));
  });
  out.families[family] = numbers;
}
process.stdout.write(JSON.stringify(out, null, 1) + '\n');
