package figure

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// Plots are written by hand: what is needed is two kinds of picture and a hundred lines, and a library for plots brings
// fonts and rasterizers along.

// Sizes of a picture.
const (
	width     = 760
	lineRoom  = 380 // height of a plot of lines
	barRoom   = 26  // height of a bar
	left      = 76
	right     = 24
	top       = 60
	bottom    = 52
	labelRoom = 280 // for the names of bars
	valueRoom = 80  // for their values
	legendRow = 18
	aboutTick = 5 // how many ticks an axis has, about
)

// colors are told apart by people who see fewer of them, too.
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// SVG writes the plot as a picture.
func (p *Plot) SVG(w io.Writer) error {
	var c canvas
	if p.Bars {
		c.bars(p)
	} else {
		c.lines(p)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="%d" y="24" font-size="15" fill="#222222">%s</text>
%s</svg>
`, width, c.height, width, c.height, html.EscapeString(p.Title), width/32, html.EscapeString(p.Title), c.String())
	return err
}

// canvas is the inside of a picture.
type canvas struct {
	strings.Builder
	height int
}

func (c *canvas) text(x, y float64, anchor, text string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, ink, html.EscapeString(text))
}

func (c *canvas) rule(x1, y1, x2, y2 float64, color string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, color)
}

func (c *canvas) dot(x, y float64, color string) {
	fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s" fill-opacity="0.6"/>`+"\n", x, y, color)
}

// Colors of what is not data.
const (
	ink  = "#444444"
	grid = "#dddddd"
)

// bars draws a bar for each line, as long as its median, with a dot for each round.
func (c *canvas) bars(p *Plot) {
	c.height = top + len(p.Lines)*barRoom + bottom
	a := newAxis(0, p.highest(), labelRoom, width-valueRoom, false)
	end := float64(c.height - bottom)
	for _, v := range a.ticks() {
		c.rule(a.at(v), top, a.at(v), end, grid)
		c.text(a.at(v), end+16, "middle", label(v))
	}
	c.text((labelRoom+width-valueRoom)/2, end+36, "middle", p.Y)
	for i, l := range p.Lines {
		y := float64(top + i*barRoom)
		median := l.medians()[0][1]
		color := colors[i%len(colors)]
		fmt.Fprintf(c, `<rect x="%d" y="%.1f" width="%.1f" height="%d" fill="%s" fill-opacity="0.35"/>`+"\n", labelRoom, y+4, a.at(median)-labelRoom, barRoom-8, color)
		c.text(labelRoom-8, y+17, "end", l.Name)
		for _, point := range l.Points {
			c.dot(a.at(point[1]), y+barRoom/2, color)
		}
		c.text(width-valueRoom+10, y+17, "start", Number(median))
	}
}

// lines draws a line through the medians of each place, with a dot for each round.
func (c *canvas) lines(p *Plot) {
	end := top + lineRoom - bottom + 0.0
	c.height = lineRoom + top + len(p.Lines)*legendRow
	lowX, highX := p.reach()
	x, y := newAxis(lowX, highX, left, width-right, p.LogX), newAxis(0, p.highest(), end, top, false)
	for _, v := range y.ticks() {
		c.rule(left, y.at(v), width-right, y.at(v), grid)
		c.text(left-8, y.at(v)+4, "end", label(v))
	}
	for _, v := range x.ticks() {
		c.rule(x.at(v), end, x.at(v), end+5, ink)
		c.text(x.at(v), end+20, "middle", label(v))
	}
	c.rule(left, end, width-right, end, ink)
	c.text((left+width-right)/2, end+38, "middle", p.X)
	c.text(left, top-14, "start", p.Y)
	for i, l := range p.Lines {
		color := colors[i%len(colors)]
		var path strings.Builder
		for n, m := range l.medians() {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(n, 1)], x.at(m[0]), y.at(m[1]))
		}
		fmt.Fprintf(c, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", &path, color)
		for _, point := range l.Points {
			c.dot(x.at(point[0]), y.at(point[1]), color)
		}
		legend := end + 58 + float64(i*legendRow)
		c.rule(left, legend-4, left+24, legend-4, color)
		c.text(left+32, legend, "start", l.Name)
	}
}

func (p *Plot) highest() (high float64) {
	for _, l := range p.Lines {
		for _, point := range l.Points {
			high = max(high, point[1])
		}
	}
	return high
}

// reach gives the first and the last place.
func (p *Plot) reach() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range p.Lines {
		for _, point := range l.Points {
			low, high = min(low, point[0]), max(high, point[0])
		}
	}
	return low, high
}

// axis gives values places in a picture.
type axis struct {
	low, high float64
	from, to  float64
	log       bool // equal ratios are equally far apart
}

func newAxis(low, high, from, to float64, log bool) axis {
	if !log {
		step := nice(high - low)
		high = math.Ceil(high/step) * step
	}
	if high <= low {
		high = low + 1
	}
	return axis{low: low, high: high, from: from, to: to, log: log && low > 0}
}

func (a axis) at(v float64) float64 {
	share := (v - a.low) / (a.high - a.low)
	if a.log {
		share = math.Log(v/a.low) / math.Log(a.high/a.low)
	}
	return a.from + share*(a.to-a.from)
}

// ticks gives the values that are named at the axis.
func (a axis) ticks() (all []float64) {
	if a.log {
		for v := math.Pow(10, math.Ceil(math.Log10(a.low)-1e-9)); v <= a.high*(1+1e-9); v *= 10 {
			all = append(all, v)
		}
		return all
	}
	step := nice(a.high - a.low)
	for v := math.Ceil(a.low/step) * step; v <= a.high+step/1e6; v += step {
		all = append(all, v)
	}
	return all
}

// label writes the value of a tick, which has few digits that count.
func label(v float64) string {
	if v >= 1000 {
		return Number(v)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// nice gives a step of 1, 2 or 5 times a power of ten.
func nice(reach float64) float64 {
	if reach <= 0 {
		return 1
	}
	rough := reach / aboutTick
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, times := range []float64{1, 2, 5} {
		if rough <= times*power {
			return times * power
		}
	}
	return 10 * power
}
