"""Scores of the test cases, and metrics.json."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from caffe_port import Net
from caffe_port.errors import DataError, StudyError
from caffe_port.study.evaluate import score_arm, score_handcrafted, write_metrics
from caffe_port.study.folder import read_table
from tests.study import tiny


@pytest.fixture
def tested(make_study):
    study = make_study(arms=("ip1", "scratch", "ip1@0.5"), base_lr=0.05)
    study.train()
    return study, study.evaluate()


def test_metrics_json(tested):
    study, metrics = tested
    assert metrics == json.loads(study.folder.metrics.read_text())
    assert metrics["application"] == "tiny"
    assert list(metrics["arms"]) == ["ip1", "scratch", "ip1@0.5"]
    assert metrics["settings"]["training"]["momentum"] == 0.9
    assert metrics["settings"]["arms"]["list"] == ["ip1", "scratch", "ip1@0.5"]
    assert metrics["versions"]["torch"] == torch.__version__
    for name, entry in metrics["arms"].items():
        done = json.loads((study.folder.arm(name) / "done.json").read_text())
        assert {key: entry[key] for key in ("epochs", "seconds", "validation_auc")} == {
            key: done[key] for key in ("epochs", "seconds", "validation_auc")
        }
    assert set(metrics["handcrafted"]) == {"auc"}


def test_scores_are_of_the_kept_weights_on_the_test_cases(tested):
    study, metrics = tested
    tests = {row["case"]: row for row in read_table(study.folder.cases) if row["split"] == "test"}
    rows = [row for row in read_table(study.folder.scores) if row["arm"] == "scratch"]
    assert [row["case"] for row in rows] == list(tests)
    net = Net(study.folder.arm("scratch") / "deploy.prototxt", study.folder.arm("scratch") / "best.caffemodel")
    scores = []
    for row in rows:
        image = cv2.imread(f"{study.settings.data.train}/{row['case']}.png")[2:14, 2:14]
        values = torch.from_numpy((image.transpose(2, 0, 1)[None].astype(np.float32) - 128) * np.float32(0.02))
        scores.append(net(data=values)["prob"][0, 1].item())
    np.testing.assert_allclose([float(row["score"]) for row in rows], scores, rtol=1e-5)
    labels = [int(tests[row["case"]]["label"]) for row in rows]
    assert metrics["arms"]["scratch"]["auc"] == pytest.approx(roc_auc_score(labels, scores))


def test_arms_of_one_training_set_are_compared(tested):
    _, metrics = tested
    pairs = [(entry["measure"], entry["a"], entry["b"]) for entry in metrics["comparisons"]]
    assert pairs == [("auc", "ip1", "scratch"), ("auc", "ip1", "handcrafted"), ("auc", "scratch", "handcrafted")]
    for entry in metrics["comparisons"]:
        of = {name: metrics["arms"].get(name, metrics["handcrafted"])["auc"] for name in (entry["a"], entry["b"])}
        assert entry["difference"] == pytest.approx(of[entry["a"]] - of[entry["b"]])
        assert 0 <= entry["p"] <= entry["holm"] <= 1


class _Regions(tiny.Tiny):
    """Measures errors by region, as segmentation does."""

    def metrics(self, rows, cases, settings):
        per_roi = {row["case"]: row["score"] for row in rows}
        return {"error_mm": {"mean": float(np.mean(list(per_roi.values()))), "sd": 0.0, "per_roi": per_roi}}

    def score(self, net, cases, settings, progress):
        return [{"case": row["case"], "score": row["score"]} for row in super().score(net, cases, settings, progress)]

    def handcrafted(self, train, test, settings, progress):
        return [{"case": case.id, "score": 0.4} for case in test[:3]]  # of other regions: not comparable


def test_errors_by_region_are_tested_in_pairs(make_study):
    study = make_study(arms=("ip1", "scratch"))
    study.train()
    study.app = _Regions()
    for arm in study.arms:
        score_arm(study.folder, study.app, study.settings, arm)
    score_handcrafted(study.folder, study.app, study.settings)
    metrics = write_metrics(study.folder, study.app, study.settings, study.arms)
    (entry,) = metrics["comparisons"]
    a, b = ([*metrics["arms"][name]["error_mm"]["per_roi"].values()] for name in ("ip1", "scratch"))
    assert entry["p"] == pytest.approx(stats.wilcoxon(np.subtract(a, b)).pvalue)
    assert (entry["measure"], entry["holm"]) == ("error_mm", entry["p"])


def test_tested_twice_is_tested_once(tested):
    study, metrics = tested
    study.app = None  # would fail if it were asked
    score_arm(study.folder, study.app, study.settings, study.arms[0])
    (study.folder.metrics).unlink()
    assert write_metrics(study.folder, study.app, study.settings, study.arms) == metrics


def test_scores_that_are_lost_are_made_again(tested):
    study, _ = tested
    path = study.folder.arm("ip1") / "scores.csv"
    before = path.read_bytes()
    path.write_text("case,label,score\n")
    with pytest.raises(StudyError, match=r"scores\.csv: holds no row\. Remove it"):
        study.evaluate()
    path.unlink()
    study.evaluate()
    assert path.read_bytes() == before


def test_an_arm_that_is_not_trained(make_study):
    study = make_study()
    with pytest.raises(StudyError, match="ip1 is not trained"):
        score_arm(study.folder, study.app, study.settings, study.arms[0])
    with pytest.raises(StudyError, match=r"ip1: .*not trained.*study train"):
        study.evaluate()
    shutil.rmtree(study.folder.handcrafted)
    with pytest.raises(StudyError, match="No arm has been tested"):
        write_metrics(study.folder, study.app, study.settings, study.arms)


def test_an_application_without_scores(make_study):
    class Silent(tiny.Tiny):
        def score(self, net, cases, settings, progress):
            return []

    study = make_study()
    study.train()
    with pytest.raises(DataError, match="scored no test case"):
        score_arm(study.folder, Silent(), study.settings, study.arms[0])
    assert not (study.folder.arm("ip1") / "measures.json").exists()


def test_measures_of_other_settings(tested):
    study, _ = tested
    path = study.folder.arm("ip1") / "measures.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "digest": "0"}))
    with pytest.raises(StudyError, match=r"measures.json: was made with other settings"):
        write_metrics(study.folder, study.app, study.settings, study.arms)
