_base_ = ['./resnet50_cmltnet_lt.py']

# nlp.stanford.edu/projects/glove, 300 numbers a word
model = dict(
    head=dict(
        word_vectors=dict(source='file', path='data/glove/glove.6B.300d.txt', missing='random')
    )
)
