"""Carries the words of the training set into the model."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..bare_model import bare_model
from ..errors import BadInputError
from ..protocols import HasWords, TakesWords


@HOOKS.register_module()
class WordsHook(Hook):
    """Hands vocabulary and word counts of the training set to every module that asks for them.

    A module asks by having a method ``set_words``. Word vectors from outside are read then, before
    a checkpoint is loaded or training starts; testing needs nothing.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        if not hasattr(runner._train_loop, 'dataloader'):  # only testing: still a config
            return
        dataset = runner._train_loop.dataloader.dataset
        while not isinstance(dataset, HasWords):
            if not hasattr(dataset, 'dataset'):
                raise BadInputError(
                    f'WordsHook: the training set is a {type(dataset).__name__}, which has no '
                    'words, expected a CrossModalDataset'
                )
            dataset = dataset.dataset
        counts, described = dataset.word_statistics()
        runner.logger.info(
            f'{described} of {len(dataset)} images have words, of {len(counts)} in the vocabulary'
        )
        model = bare_model(runner.model)
        for module in model.modules():
            if isinstance(module, TakesWords):
                module.set_words(dataset.vocabulary, counts, described)
