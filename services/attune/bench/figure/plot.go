package figure

import "slices"

// Plot is lines over an axis or, when it has bars, one bar for each line.
type Plot struct {
	Name  string  `json:"name"` // of its file, without an ending
	Title string  `json:"title"`
	X     string  `json:"x,omitempty"`
	Y     string  `json:"y"` // for bars: what their lengths are
	LogX  bool    `json:"log_x,omitempty"`
	Bars  bool    `json:"bars,omitempty"`
	Lines []*Line `json:"lines"`
}

// Line is values of one kind. Those of several rounds stand at the same place.
type Line struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"` // x, y
}

// Point adds a point to a line of a plot, and both when they are new.
func (r *Run) Point(plot Plot, line string, x, y float64) {
	i := slices.IndexFunc(r.Plots, func(p *Plot) bool { return p.Name == plot.Name })
	if i < 0 {
		i, r.Plots = len(r.Plots), append(r.Plots, &plot)
	}
	r.Plots[i].add(line, x, y)
}

// Bar adds the value of a round to a bar.
func (r *Run) Bar(plot Plot, bar string, value float64) {
	plot.Bars = true
	r.Point(plot, bar, 0, value)
}

func (p *Plot) add(name string, x, y float64) {
	i := slices.IndexFunc(p.Lines, func(l *Line) bool { return l.Name == name })
	if i < 0 {
		i, p.Lines = len(p.Lines), append(p.Lines, &Line{Name: name})
	}
	p.Lines[i].Points = append(p.Lines[i].Points, [2]float64{x, y})
}

// medians gives a point for each place, in the order of places.
func (l *Line) medians() (all [][2]float64) {
	values := map[float64][]float64{}
	var places []float64
	for _, p := range l.Points {
		if values[p[0]] == nil {
			places = append(places, p[0])
		}
		values[p[0]] = append(values[p[0]], p[1])
	}
	slices.Sort(places)
	for _, x := range places {
		all = append(all, [2]float64{x, Median(values[x])})
	}
	return all
}
