// Runs the specification's vectors in the visitor's own browser and says the result in words.

var language = (navigator.language || 'en').slice(0, 2);
var say = Object.prototype.hasOwnProperty.call(words, language) ? words[language] : words.en;

function write(id, text) {
  document.getElementById(id).textContent = text;
}

function showResult(results) {
  var failures = 0;
  var list = document.getElementById('list');
  for (var i = 0; i < results.length; i++) {
    var item = document.createElement('li');
    var outcome = document.createElement('b');
    outcome.textContent = results[i].trouble ? '✗ ' : '✓ ';
    item.appendChild(outcome);
    item.appendChild(document.createTextNode(
      results[i].rule + ' ' + results[i].name + (results[i].trouble ? ': ' + results[i].trouble : '')
    ));
    if (results[i].trouble) {
      failures++;
      item.className = 'failed';
    }
    list.appendChild(item);
  }
  var text = !results.length ? say.none : failures ? say.failed : say.passed;
  write('result', text.split('{n}').join(failures || results.length));
  document.documentElement.setAttribute(
    'data-state', results.length && !failures ? 'passed' : 'failed'
  );
}

document.documentElement.lang = say === words.en ? 'en' : language;
document.title = say.title;
write('heading', say.title);
write('result', say.running);
setTimeout(function () {
  showResult(runVectors(vectors));
}, 50);
