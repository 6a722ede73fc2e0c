package page

import (
	"fmt"
	"strings"

	"github.com/agloop/agloop/bench/result"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars draws where time goes, one row per symbol: the server's own code in its colour, the kernel's
// pale.
func bars(title string, who role, spots []result.Symbol, width vg.Length) string {
	const left, right = 232, 46
	var most float64
	for _, s := range spots {
		most = max(most, s.Share)
	}
	p := newPlot()
	p.HideAxes()
	p.Y.Min, p.Y.Max = 0.5-float64(len(spots)), 0.5
	p.X.Min, p.X.Max = 0, max(most, 0.01)
	p.Add(plotter(func(c draw.Canvas, p *plot.Plot) {
		name, share := style(inkText, 12, draw.XLeft, draw.YCenter), style(inkText, 12, draw.XRight, draw.YCenter)
		for i, s := range spots {
			y, fill := c.Y(p.Y.Norm(-float64(i))), who.ink()
			if s.Kernel {
				fill = inkGrid
			}
			c.FillText(name, vg.Point{X: 0, Y: y + lift}, fit(symbol(s.Name), left-8))
			c.FillText(share, vg.Point{X: width - 1, Y: y + lift}, percent(s.Share))
			to := max(c.X(p.X.Norm(s.Share)), c.Min.X+1)
			c.FillPolygon(fill, []vg.Point{{X: c.Min.X, Y: y - 6}, {X: to, Y: y - 6}, {X: to, Y: y + 6}, {X: c.Min.X, Y: y + 6}})
		}
	}))
	return render(p, title, frame{width, 21*vg.Length(len(spots)) + 16, left, right, 0})
}

// symbol leaves the import path out of a Go symbol.
func symbol(s string) string {
	path, _, _ := strings.Cut(s, "[") // type parameters have import paths of their own
	return s[strings.LastIndexByte(path, '/')+1:]
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }
