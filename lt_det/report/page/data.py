"""The whole content of a report page as one plain json dict, from the files of a run alone.

SCHEMA (format 1). What a run does not have is null, and ``notes`` says why. Every number is raw:
fractions in 0..1, counts as counts; a fraction is null where there is nothing to judge (never -1).
C classes are numbered 0..C-1 by ascending category id (detector) or label (classifier); lists of
``classes`` have C items. Groups are ``r``, ``c``, ``f`` (detector) or ``few``, ``medium``, ``many``
(classifier); a dict by group holds ``all`` and the groups that have classes. Texts (names of
classes and files, notes) are as in the data: hostile input to whoever shows them.

::

    format        1
    kind          'detector' | 'classifier'
    title         str, the name of the config
    iou_type      'bbox' | 'segm' | null: of hits, misses, errors, flows, scores and gallery
    groups        {'r': {'name': 'rare', 'classes': n, 'images': 'up to 10'}, ...}, rarest first
    provenance    protocol ('lvis'|'coco'|'classification'), max_dets (int|null), comparable (str),
                  config (str|null), checkpoint {file, sha256}|null, data {file, images,
                  annotations (int|null)}, versions {package: version}, date (str|null), command
                  (str|null), against (str|null: the title of the baseline)
    tiles         [{metric ('AP', 'APr', ...; classifier: 'top1', 'macro', 'many', ...), iou_type
                  ('bbox'|'segm'|null), value, interval [lo, hi]|null, against, difference,
                  difference_interval}], the interval of 95% from a bootstrap over images
    classes       null, or
                  name [str], group [str: '' where unknown], train_images [int|null],
                  train_instances [int|null]|null,
                  images, annotations [int]: evaluated images with the class, its annotations
                  ap {'bbox': [v|null], 'segm': ...} (classifier: {'accuracy': [v|null]}),
                  ar likewise|null,
                  hits, misses, false_positives [int]|null, at IoU 0.5,
                  confused_with [{class, count}|null]|null, the class that takes most of them,
                  against null|{ap {...}, difference [v|null], interval [[lo, hi]|null]}, the
                  difference (this run - baseline) of iou_type
    errors        null|{kinds [str], groups {g: {AP50, cost {kind: v}, count {kind: n}}}}
    flows         null|{columns ['correct', groups..., 'missed'], groups {g: [count]}, confusions
                  [{truth: class, predicted: class|null (missed), count}], most frequent first, at
                  most 2000}
    scores        null|{groups {g: {ece, bins [{lower, upper, count, confidence, accuracy}], hits
                  [50 counts], false_positives [50 counts], edges [51], best_f1 {threshold, f1,
                  precision, recall}|null}}}
    gallery       [] or up to 200 of {kind 'missed'|'hit'|'false_positive', class (missed, hit: of
                  the truth; false_positive: as predicted), predicted class|null, truth class|null
                  (false_positive: of the annotation under it), score|null, iou|null, image (file
                  name), src 'data:image/jpeg;base64,...', width, height (of the crop), box [x, y,
                  w, h]|null (detection), truth_box|null, outline, truth_outline [[x, y], ...]|null
                  (masks), all in pixels of the crop, text (str, what happened)}, worst rare
                  classes first
    curves        null|{loss [[iter, v]], lr [[iter, v]], metrics {name: [[iter, v]]}}
    calibration_html  null|str, trusted html of ``calibration_section`` (names escaped there)
    inspect       null|dict, what ``lt_det inspect --json`` writes for the annotation files
    notes         [str]
"""

from __future__ import annotations
