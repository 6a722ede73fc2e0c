// Package page turns a saved run of the benchmarks into something to look at.
//
// [HTML] is one file with its plots inside, which loads nothing and runs no script; [Markdown] has
// the same tables for a terminal or a review; [Readme] is the one table of the README; [Benchfmt]
// is the run in the format of go test -bench, for benchstat to compare with another.
//
// HTML and Markdown are two prints of one [report]: sections in a fixed order, each with a heading
// that says what was found, figures, and the tables that the figures come from. Bad results are not
// left out: a refused round is a row with the reason, and a missed target is listed with the
// others.
package page

import (
	_ "embed"
	"html/template"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"css": func() template.CSS {
	return template.CSS(styleCSS)
}}).Parse(pageHTML))

// HTML is the run as one self-contained page. change is what benchstat says against an earlier run,
// or empty.
func HTML(run *result.Run, change string) ([]byte, error) {
	r := newReport(run, change)
	for _, s := range r.Sections {
		for i := range s.Figures {
			f := &s.Figures[i]
			f.Narrow = template.HTML(f.draw(narrow))
			if len(s.Figures) == 1 {
				f.Wide = template.HTML(f.draw(wide))
			}
		}
	}
	var b strings.Builder
	if err := page.Execute(&b, r); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}
