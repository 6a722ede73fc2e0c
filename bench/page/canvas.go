package page

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"regexp"
	"strconv"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The page has a light and a dark scheme, so a plot cannot have fixed colours. It is drawn with
// ink: placeholder colours that are replaced by variables of the style sheet in the end.
func ink(n uint8) color.Color { return color.RGBA{1, 1, n, 255} }

var (
	inkText   = ink(1)
	inkMuted  = ink(2)
	inkGrid   = ink(3)
	inkAccent = ink(4)
	inkFloor  = ink(5)
	inkRival  = ink(6)
)

func (r role) ink() color.Color { return [...]color.Color{inkRival, inkAccent, inkFloor}[r] }

const hues = 8 // of the rivals' lines

func inkHue(n int) color.Color { return ink(uint8(10 + n%hues)) }

var variables = map[int]string{1: "ink", 2: "muted", 3: "grid", 4: "accent", 5: "floor", 6: "rival"}

func variable(n int) string {
	if name, ok := variables[n]; ok {
		return "var(--" + name + ")"
	}
	return "var(--hue-" + strconv.Itoa(n-10) + ")"
}

// Two plots of the narrow width fill the page side by side at about their own size, and on a phone
// one is not shrunk beyond reading. A plot that is alone in its section is also drawn wide, and the
// style sheet chooses.
const (
	narrow   vg.Length = 440
	wide     vg.Length = 800
	rowSize  vg.Length = 24
	fontSize           = 13
)

// frame is the size of a plot and of the gutters beside and above its data, which plotters may
// write into.
type frame struct {
	width, height, left, right, top vg.Length
}

// style is text in a face as wide as the Arial that browsers have.
func style(c color.Color, size vg.Length, x draw.XAlignment, y draw.YAlignment) text.Style {
	return text.Style{
		Color: c, Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size), XAlign: x, YAlign: y,
		Handler: plot.DefaultTextHandler,
	}
}

func bold(s text.Style) text.Style {
	s.Font.Weight = xfont.WeightBold
	return s
}

// lift raises text, whose letters would otherwise seem to be below the middle of the row.
const lift = 1.3

var label = style(inkText, fontSize, draw.XLeft, draw.YCenter)

// newPlot has axes without lines or ticks, and no background.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.LineStyle.Width, p.Y.LineStyle.Width = 0, 0
	p.X.Tick.Length, p.Y.Tick.Length = 0, 0
	p.X.Padding, p.Y.Padding = 6, 6
	p.X.Tick.Label = style(inkMuted, 12, draw.XCenter, draw.YTop)
	p.Y.Tick.Label = style(inkMuted, 12, draw.XRight, draw.YCenter)
	p.X.Label.TextStyle = style(inkMuted, 12, draw.XCenter, draw.YBottom)
	p.X.Label.Padding = 4
	return p
}

// plotter is a function that draws the data.
type plotter func(draw.Canvas, *plot.Plot)

func (f plotter) Plot(c draw.Canvas, p *plot.Plot) { f(c, p) }

// render draws p and returns an svg element.
func render(p *plot.Plot, title string, f frame) string {
	canvas := vgsvg.New(f.width, f.height)
	p.Draw(draw.Crop(draw.New(canvas), f.left, -f.right, 2, -2-f.top))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		panic(err) // writing to a bytes.Buffer cannot fail
	}
	return embed(b.String(), title, f)
}

var (
	prelude = regexp.MustCompile(`(?s)^.*?<svg[^>]*>`)
	faces   = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:([^;"]*);font-style:[^;"]*;?`)
	colours = regexp.MustCompile(`#0101([0-9A-F]{2})`)
)

// embed makes a stand-alone drawing a part of the page: size, fonts and colours come from the style
// sheet.
func embed(svg, title string, f frame) string {
	svg = prelude.ReplaceAllString(svg, fmt.Sprintf(`<svg class="plot" role="img" aria-label="%s" viewBox="0 0 %g %g">`,
		html.EscapeString(title), f.width.Points(), f.height.Points()))
	svg = faces.ReplaceAllStringFunc(svg, func(s string) string {
		if faces.FindStringSubmatch(s)[1] == "bold" {
			return "font-weight:bold;"
		}
		return ""
	})
	return colours.ReplaceAllStringFunc(svg, func(s string) string {
		n, _ := strconv.ParseUint(s[5:], 16, 8)
		return variable(int(n))
	})
}

func widest(s text.Style, labels []string) vg.Length {
	var w vg.Length
	for _, l := range labels {
		w = max(w, s.Width(l))
	}
	return w
}
