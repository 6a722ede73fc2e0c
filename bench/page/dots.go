package page

import (
	"cmp"
	"math"
	"slices"

	"github.com/agloop/agloop/bench/result"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dot is one row of a dot plot: the median as a dot on the line from least to most.
type dot struct {
	name   string
	role   role
	spread result.Spread
	ratio  string // of this figure to agloop's
	absent string // why there is no dot
}

// caseDots has the servers of a case, the best first and those without figures last.
func caseDots(c *result.Case) []dot {
	us := c.Server(ours)
	var out []dot
	for i := range c.Servers {
		s := &c.Servers[i]
		d := dot{name: s.Name, role: roleOf(s.Name), spread: s.Spread(c.Measure.Key)}
		if d.spread.N == 0 {
			if d.absent = refusals(s); d.absent == "" {
				d.absent = "not measured"
			}
		}
		if us != nil && s != us {
			if r := us.Ratio(s, c.Measure.Key); r.N > 0 && r.Median > 0 {
				d.ratio = times(1 / r.Median) // of the one that tables and findings have
			}
		}
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b dot) int {
		switch {
		case a.spread.N == 0 || b.spread.N == 0:
			return cmp.Compare(b.spread.N, a.spread.N)
		case c.Measure.More:
			return cmp.Compare(b.spread.Median, a.spread.Median)
		}
		return cmp.Compare(a.spread.Median, b.spread.Median)
	})
	return out
}

// dotPlot draws rows from top to bottom on a logarithmic x axis, with the figures at the right.
func dotPlot(title string, rows []dot, unit string, width vg.Length) string {
	var names, figures, ratios []string
	var values []float64
	for _, d := range rows {
		names, ratios = append(names, d.name), append(ratios, d.ratio)
		if d.spread.N > 0 {
			figures = append(figures, quantity(d.spread.Median, unit))
			values = append(values, d.spread.Min, d.spread.Median, d.spread.Max)
		}
	}
	const gap = 14
	left := widest(bold(label), names) + gap
	right, ratio, top := widest(bold(label), figures)+gap, widest(label, ratios), vg.Length(0)
	if ratio > 0 {
		ratio, top = max(ratio, caption.Width(perOurs))+gap, 20
		right += ratio
	}

	p := newPlot()
	p.HideY()
	p.Y.Min, p.Y.Max = 0.5-float64(len(rows)), 0.5
	p.X.Min, p.X.Max = logRange(values)
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = logTicks(p.X.Min, p.X.Max, unit, width-left-right-30, p.X.Tick.Label, false)
	p.Add(plotter(gridX), plotter(func(c draw.Canvas, p *plot.Plot) {
		if ratio > 0 {
			c.FillText(caption, vg.Point{X: width - 1, Y: c.Max.Y + top/2}, perOurs)
		}
		for i, d := range rows {
			y := c.Y(p.Y.Norm(-float64(i)))
			name, figure := style(inkText, fontSize, draw.XLeft, draw.YCenter), style(inkText, fontSize, draw.XRight, draw.YCenter)
			switch d.role {
			case own:
				name, figure = bold(name), bold(figure)
				name.Color, figure.Color = inkAccent, inkAccent
			case floor:
				name.Color = inkMuted
			}
			muted := style(inkMuted, fontSize, draw.XRight, draw.YCenter)
			if d.spread.N == 0 {
				name.Color = inkMuted
				c.FillText(name, vg.Point{X: 0, Y: y + lift}, d.name)
				muted.XAlign = draw.XLeft
				c.FillText(muted, vg.Point{X: c.Min.X, Y: y + lift}, fit(d.absent, width-c.Min.X))
				continue
			}
			c.FillText(name, vg.Point{X: 0, Y: y + lift}, d.name)
			c.FillText(muted, vg.Point{X: width - 1, Y: y + lift}, d.ratio)
			c.FillText(figure, vg.Point{X: width - 1 - ratio, Y: y + lift}, quantity(d.spread.Median, unit))
			whisker(c, p, d, y)
		}
	}))
	return render(p, title, frame{width, rowSize*vg.Length(len(rows)) + 36 + top, left, right, top})
}

// perOurs heads the column of ratios.
const perOurs = "÷ " + ours

var caption = style(inkMuted, 12, draw.XRight, draw.YCenter)

func whisker(c draw.Canvas, p *plot.Plot, d dot, y vg.Length) {
	if d.spread.Min <= 0 {
		return // has no place on a logarithmic axis
	}
	x := func(v float64) vg.Length { return c.X(p.X.Norm(v)) }
	c.StrokeLine2(draw.LineStyle{Color: d.role.ink(), Width: 2}, x(d.spread.Min), y, x(d.spread.Max), y)
	glyph := draw.GlyphStyle{Color: d.role.ink(), Radius: 5, Shape: draw.CircleGlyph{}}
	c.DrawGlyphNoClip(glyph, vg.Point{X: x(d.spread.Median), Y: y})
}

// fit cuts text that is wider than its room.
func fit(s string, room vg.Length) string {
	if label.Width(s) <= room {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && label.Width(string(r)+"…") > room {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// pair is one row of a dumbbell plot.
type pair struct {
	name     string
	own, its float64
}

func (p pair) gain() float64 {
	if p.own <= 0 {
		return math.NaN()
	}
	return p.its / p.own
}

// dumbbells joins agloop's figure and the other's by a line, one row each; the gain is at the
// right.
func dumbbells(title string, rows []pair, unit string, width vg.Length) string {
	var names, gains []string
	var values []float64
	for _, r := range rows {
		names, gains = append(names, r.name), append(gains, times(r.gain())+"×")
		values = append(values, r.own, r.its)
	}
	small := style(inkText, 11.5, draw.XLeft, draw.YCenter)
	left, right := widest(small, names)+10, widest(bold(label), gains)+8
	p := newPlot()
	p.HideY()
	p.Y.Min, p.Y.Max = 0.5-float64(len(rows)), 0.5
	p.X.Min, p.X.Max = logRange(values)
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = logTicks(p.X.Min, p.X.Max, unit, width-left-right-40, p.X.Tick.Label, false)
	p.Add(plotter(gridX), plotter(func(c draw.Canvas, p *plot.Plot) {
		for i, r := range rows {
			y := c.Y(p.Y.Norm(-float64(i)))
			c.FillText(small, vg.Point{X: 0, Y: y + lift}, r.name)
			c.FillText(bold(style(inkAccent, 12, draw.XRight, draw.YCenter)), vg.Point{X: width - 1, Y: y + lift}, gains[i])
			if r.own <= 0 || r.its <= 0 {
				continue
			}
			a, b := c.X(p.X.Norm(r.own)), c.X(p.X.Norm(r.its))
			c.StrokeLine2(draw.LineStyle{Color: inkGrid, Width: 3}, a, y, b, y)
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: inkRival, Radius: 4, Shape: draw.CircleGlyph{}}, vg.Point{X: b, Y: y})
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: inkAccent, Radius: 4.5, Shape: draw.CircleGlyph{}}, vg.Point{X: a, Y: y})
		}
	}))
	return render(p, title, frame{width, 20*vg.Length(len(rows)) + 36, left, right, 0})
}
