// The receipt in words on the phone: running text, gaps and tables (T46). Each cell has a direction
// of its own (T47), the whole that of the receipt's language.

function append(parent, tag, text) {
  var child = document.createElement(tag);
  if (text !== undefined) {
    child.dir = 'auto'; // T47
    child.textContent = text;
  }
  return parent.appendChild(child);
}

function showLines(lines) {
  var paper = $('lines');
  var table, row, columns, cells;
  paper.lang = ticket.lang || '';
  paper.dir = /^(ar|fa|he|ur)/.test(ticket.lang) ? 'rtl' : 'ltr';
  for (var i = 0; i < lines.length; i++) {
    cells = lines[i];
    if (cells.length < 2) {
      append(paper, 'p', cells[0]);
      table = 0;
    } else {
      if (!table || columns !== cells.length) table = append(append(paper, 'table'), 'tbody');
      columns = cells.length;
      row = append(table, 'tr');
      for (var n = 0; n < columns; n++) {
        append(row, n && (table.rows[1] || /\d/.test(cells)) ? 'td' : 'th', cells[n]);
      }
    }
  }
}

// A table that is too wide for its numbers has the first cell of each row on a line of its own.
function fitLines() {
  var paper = $('lines');
  for (var i = 0; i < paper.children.length; i++) {
    if (paper.children[i].offsetWidth > paper.offsetWidth) paper.children[i].className = 'wide';
  }
}
