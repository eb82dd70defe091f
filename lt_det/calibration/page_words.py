"""What the page of a calibration says in words."""

from __future__ import annotations

from ..frequency import LVIS_BOUNDS, SHOT_BOUNDS

METRICS = {
    'AP': 'average precision, mean of all classes',
    'APr': f'of rare classes (in LVIS: at most {LVIS_BOUNDS[0]} training images)',
    'APc': 'of common classes (between the two)',
    'APf': f'of frequent classes (in LVIS: more than {LVIS_BOUNDS[1]} training images)',
    'macro': 'accuracy, mean of all classes',
    'few': f'of classes with fewer than {SHOT_BOUNDS[0]} training images',
    'medium': f'of classes with {SHOT_BOUNDS[0]} to {SHOT_BOUNDS[1]} training images',
    'many': f'of classes with more than {SHOT_BOUNDS[1]} training images',
}

RULES = {
    'NorCal': 'divides the probability of each class by the number of its training images to the '
    'power gamma, and leaves the background as it is',
    'PriorShift': 'subtracts tau times the logarithm of how frequent a class was in training '
    '(logit adjustment)',
    'IIF': 'multiplies the logit of each class by its inverse image frequency, which link says how '
    'to compute',
    'TauNorm': 'divides the weights of each class by their length to the power tau and drops the '
    'bias',
    'FRACAL': 'shifts each class by its frequency and, with strength lam, by how widely it is '
    'spread over the training images',
    'Temperature': 'divides all logits by T, the background included: above 1 scores become less '
    'sure',
}

LOGIT = 'A logit is what the network computes for a class before it becomes a score.'

DETECTOR = (
    'Average precision (AP) lies between 0 and 1 and says how completely the objects of a class '
    'are found ({what}), and how far the detections that find one stand above those that do not.'
)
CLASSIFIER = 'Accuracy is the share of the images of a class that are recognised, from 0 to 1.'

CROSS_FITTED = (
    'The setting that looks best on some images looks better there than it is. The held-out images '
    'are therefore split into two halves: what is chosen on one is scored on the other, and the '
    'gain is the mean of the two. The interval holds 95% of what comes out when the images are '
    'drawn anew, with repeats. A setting is taken only if that interval lies above zero.'
)

STRENGTH_CAPTION = (
    'Change of each metric over the model as it is (dashed), on all held-out images; each panel '
    'is a kind of rule, each point one strength of it. {kept}Large losses are cut off; sweep.csv '
    'has every number.'
)
CLASS_CAPTION = (
    'Each point is a class, the larger the more {objects} the held-out images have of it; small '
    'ones are mostly chance. Lines are means of a group.'
)
