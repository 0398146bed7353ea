// Program renders the chart with Helm's own engine, and reads what comes out as Kubernetes and its extensions read it.
//
// A job comes on standard input as JSON, and the result goes to standard output as JSON. An error of a chart, a document
// or an expression is part of the result; the program fails only where the job itself cannot be done.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// Job is what to do.
type Job struct {
	// Chart is the folder of the chart.
	Chart string `json:"chart"`
	// Renderings are by name.
	Renderings map[string]Rendering `json:"renderings"`
	// Documents are manifests in YAML, by name.
	Documents map[string]string `json:"documents"`
	// Foreign are the kinds that are not decoded, as `apiVersion/kind`: nothing here knows their types.
	Foreign []string `json:"foreign"`
	// Expressions are in PromQL.
	Expressions []string `json:"expressions"`
}

// Rendering is a call of `helm template`.
type Rendering struct {
	Release     string `json:"release"`
	Namespace   string `json:"namespace"`
	Values      string `json:"values"`
	KubeVersion string `json:"kube_version"`
}

// Outcome is what became of a rendering or of a document.
type Outcome struct {
	// Error is why it could not be rendered; empty where it could.
	Error string `json:"error"`
	Notes string `json:"notes"`
	// Objects are the manifests that are not empty, in order of their files.
	Objects []any `json:"objects"`
	// Flaws are what Kubernetes or an extension would refuse: a kind, a field or a type that there is not.
	Flaws []string `json:"flaws"`
}

// Result has the outcomes by the names of the job, and the expressions in its order.
type Result struct {
	Renderings  map[string]Outcome `json:"renderings"`
	Documents   map[string]Outcome `json:"documents"`
	Expressions []Expression       `json:"expressions"`
}

func main() {
	var job Job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		fail(err)
	}
	reader, err := newReader(job.Foreign)
	if err != nil {
		fail(err)
	}
	result := Result{Renderings: map[string]Outcome{}, Documents: map[string]Outcome{}}
	for name, rendering := range job.Renderings {
		outcome, err := render(reader, job.Chart, rendering)
		if err != nil {
			fail(err)
		}
		result.Renderings[name] = outcome
	}
	for name, text := range job.Documents {
		var outcome Outcome
		reader.read(&outcome, name, text)
		result.Documents[name] = outcome
	}
	for _, text := range job.Expressions {
		result.Expressions = append(result.Expressions, parse(text))
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Render does what `helm template` does; its error is one of the chart's files, not of the values.
func render(reader *reader, folder string, rendering Rendering) (Outcome, error) {
	// The engine changes the chart that it renders, so each rendering has its own.
	chart, err := loader.Load(folder)
	if err != nil {
		return Outcome{}, err
	}
	values, err := common.ReadValues([]byte(rendering.Values))
	if err != nil {
		return Outcome{}, err
	}
	version, err := common.ParseKubeVersion(rendering.KubeVersion)
	if err != nil {
		return Outcome{}, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	options := common.ReleaseOptions{
		Name: rendering.Release, Namespace: rendering.Namespace, Revision: 1, IsInstall: true,
	}
	composed, err := util.ToRenderValues(chart, values, options, capabilities)
	if err != nil {
		return Outcome{Error: err.Error()}, nil
	}
	files, err := engine.Engine{Strict: true}.Render(chart, composed)
	if err != nil {
		return Outcome{Error: err.Error()}, nil
	}
	var outcome Outcome
	for _, name := range sorted(files) {
		if path.Base(name) == "NOTES.txt" {
			outcome.Notes = files[name]
		} else {
			reader.read(&outcome, name, files[name])
		}
	}
	return outcome, nil
}

func sorted(files map[string]string) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A reader decodes manifests into the types of Kubernetes, the Gateway API and the Prometheus operator, strictly.
type reader struct {
	decoder runtime.Decoder
	foreign []string
}

func newReader(foreign []string) (*reader, error) {
	known := runtime.NewScheme()
	// Not all that Kubernetes ever had: it serves no versions but these.
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, autoscaling.AddToScheme, batch.AddToScheme, core.AddToScheme, networking.AddToScheme,
		policy.AddToScheme, gateway.Install, gatewaybeta.Install, monitoring.AddToScheme,
	} {
		if err := add(known); err != nil {
			return nil, err
		}
	}
	codecs := serializer.NewCodecFactory(known, serializer.EnableStrict)
	return &reader{decoder: codecs.UniversalDeserializer(), foreign: foreign}, nil
}

// Read adds the manifests of a file to an outcome, and what is wrong with them.
func (r *reader) read(outcome *Outcome, name string, text string) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		var object map[string]any
		if err == nil {
			err = yaml.UnmarshalStrict(document, &object)
		}
		if err != nil {
			outcome.Flaws = append(outcome.Flaws, fmt.Sprintf("%s: %s", name, err))
			return
		}
		if len(object) == 0 {
			continue
		}
		outcome.Objects = append(outcome.Objects, object)
		if slices.Contains(r.foreign, fmt.Sprintf("%v/%v", object["apiVersion"], object["kind"])) {
			continue
		}
		if _, _, err := r.decoder.Decode(document, nil, nil); err != nil {
			outcome.Flaws = append(outcome.Flaws, fmt.Sprintf("%s: %s", name, strings.TrimSpace(err.Error())))
		}
	}
}
