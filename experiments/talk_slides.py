"""The slides of the talk: what each says, the paper behind it, and the experiment that asks.

"Advances in Trinity of AI: Data, Algorithms & Compute", A. Anandkumar.
"""

from typing import NamedTuple


class Slide(NamedTuple):
    """One slide, or several on one matter.

    Attributes:
      place: its name in links.
      pillar: data, algorithms or compute.
      title: of the slide.
      says: what it says, in a sentence or two.
      source: the paper.
      experiment: the module that asks whether it is so; empty where there is none.
      picture: what the experiment's figure shows.
      unbuilt: claims that no system here is of, each with the paper's number.
    """

    place: str
    pillar: str
    title: str
    says: str
    source: str = ""
    experiment: str = ""
    picture: str = ""
    unbuilt: tuple[tuple[str, str], ...] = ()


SLIDES = (
    Slide(
        "names",
        "Data: collection",
        "Deep active learning for named entities",
        "A tagger that asks for the sentences it is least sure of reaches 99 % of the best deep "
        "model's F1 with 24.9 % of the words in English and 30.1 % in Chinese, and the best "
        "shallow model's F1 with 12.0 % and 16.9 %.",
        "Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named "
        "entity recognition. ICLR 2018",
        "ner_active_learning",
        "Test F1 against words annotated, a line a strategy, with the scores that all words give",
    ),
    Slide(
        "questions",
        "Data: collection",
        "Active learning with partial feedback",
        "Asking yes or no about sets of classes, and choosing the questions, gives 8 points more "
        "accuracy (26 % relative) at 30 % of the questions, and labels everything with about 40 % "
        "(42 %) fewer.",
        "P. Hu, Z. C. Lipton, A. Anandkumar, D. Ramanan. Active learning with partial feedback. "
        "ICLR 2019",
        "partial_feedback",
        "Test accuracy, images labelled and classes left against questions asked, a line a method",
    ),
    Slide(
        "crowd",
        "Data: aggregation",
        "Crowdsourcing: learning from noisy, singly labelled data",
        "Under a fixed budget it is optimal to label each item once, if the quality of workers is "
        "learnt together with the model; this is about 5 % better than majority vote.",
        "A. Khetan, Z. C. Lipton, A. Anandkumar. Learning from noisy singly-labeled data. "
        "ICLR 2018",
        "crowdsourcing",
        "Test error against labels an item under a fixed budget, a line a method, a row a kind of "
        "worker",
    ),
    Slide(
        "adversaries",
        "Data: augmentation",
        "Generative adversarial networks, merits and perils",
        "Merits: they capture the statistics of natural images, and are learnable. Perils: the "
        "images are not of high quality and have artifacts, and the feedback is real or fake, "
        "which is not what prediction wants.",
        "S. Ravuri, O. Vinyals. Classification accuracy score for conditional generative models. "
        "NeurIPS 2019",
        "generative_augmentation",
        "Errors with made images, how generators score, and where gradients point, a line each",
    ),
    Slide(
        "rendering",
        "Data: augmentation",
        "The neural rendering model",
        "One network that predicts upwards and generates downwards, trained for both at once, "
        "needs few labels.",
        "N. Ho, T. Nguyen, A. Patel, A. Anandkumar, M. I. Jordan, R. G. Baraniuk. Neural rendering "
        "model: joint generation and prediction for semi-supervised learning. arXiv 1811.02657",
        "neural_rendering",
        "Test error against labels for each loss, what each of its terms adds, and what paths cost",
    ),
    Slide(
        "symbols",
        "Data: augmentation",
        "Symbolic expressions",
        "Expressions and function evaluations together teach a network mathematics better than "
        "evaluations alone.",
        "F. Arabshahi, S. Singh, A. Anandkumar. Combining symbolic expressions and black-box "
        "function evaluations in neural programs. ICLR 2018",
        unbuilt=(("Expressions as training data generalise to deeper expressions", ""),),
    ),
    Slide(
        "algorithms",
        "Algorithms",
        "Optimisation, scalability, multi-dimensionality",
        "Learning on many machines needs little communication, and data of many dimensions want "
        "tensors, not matrices.",
        "J. Bernstein, J. Zhao, K. Azizzadenesheli, A. Anandkumar. signSGD with majority vote is "
        "communication efficient and fault tolerant. ICLR 2019. J. Kossaifi et al. Tensor "
        "regression networks. arXiv 1707.08308",
        unbuilt=(
            (
                "Optimisation: signSGD with majority vote learns from one bit a coordinate",
                "25 % less time to train ResNet-50 on ImageNet, 15 machines",
            ),
            ("Scalability: training speeds up with the number of machines", ""),
            ("Multi-dimensionality: tensor layers need fewer parameters", ""),
        ),
    ),
    Slide(
        "compute",
        "Compute",
        "One compiled program for a whole figure",
        "Strategies and seeds are the rows of one array, and one compiled program trains all of "
        "them on whatever devices there are.",
    ),
)
PILLARS = (
    "Three things made AI what it is: data, algorithms that learn from them, and the compute to "
    "do it at scale. Each slide is beside what was measured for it:"
)
# What runs leave beside their figure.
SHEETS = {
    "renderings.png": "Images, what is rendered of them layer by layer, and as other classes",
    "samples.png": "Images of the data, and made ones",
}
