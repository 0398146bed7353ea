package main

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Expression is what a query in PromQL reads.
type Expression struct {
	// Error is why Prometheus would refuse the query; empty where it would not.
	Error string `json:"error"`
	// Selectors are by the name of the series: the labels by which they are chosen.
	Selectors []Selector `json:"selectors"`
	// Groupings are the labels of all aggregations.
	Groupings []string `json:"groupings"`
}

// Selector is a choice of series.
type Selector struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

// Parse reads a query as Prometheus does.
func parse(text string) Expression {
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return Expression{Error: err.Error()}
	}
	found := Expression{Selectors: []Selector{}, Groupings: []string{}}
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		switch each := node.(type) {
		case *parser.VectorSelector:
			selector := Selector{Metric: each.Name, Labels: []string{}}
			for _, matcher := range each.LabelMatchers {
				if matcher.Name != labels.MetricName {
					selector.Labels = append(selector.Labels, matcher.Name)
				}
			}
			found.Selectors = append(found.Selectors, selector)
		case *parser.AggregateExpr:
			found.Groupings = append(found.Groupings, each.Grouping...)
		}
		return nil
	})
	slices.Sort(found.Groupings)
	found.Groupings = slices.Compact(found.Groupings)
	return found
}
