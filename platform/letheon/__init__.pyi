from letheon.api.evaluate import Evaluation as Evaluation
from letheon.api.functions import evaluate as evaluate
from letheon.api.functions import open as open
from letheon.api.run import Run as Run
from letheon.api.sweep import Sweep as Sweep
from letheon.api.trial import Trial as Trial
from letheon.common.errors import LetheonError as LetheonError
from letheon.common.errors import SpecErrors as SpecErrors

__version__: str
